#include "supervisor/captured.hpp"

#include <sys/stat.h>

#include "base/ids.hpp"
#include "base/path_pattern.hpp"
#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

class CapturedTest : public test_support::SupervisorTest {
  protected:
    // The project has `a`, `gone` and `dir/kept`; the capture rewrites, removes and adds.
    Captured make_change(Store& store, const std::string& world = "wld_1") {
        write(project_ + "/a", "old");
        write(project_ + "/gone", "x");
        write(project_ + "/dir/kept", "k");
        const Captured captured = make_capture(store, world);
        const std::string upper = source(store, captured);
        write(upper + "/a", "new");
        write(upper + "/sub/b", "in");
        white_out(upper, "gone");
        return captured;
    }
    // Another capture that writes `name`.
    Captured write_in_capture(Store& store, const std::string& world, const std::string& name,
                              std::string_view text) {
        const Captured captured = make_capture(store, world);
        write(source(store, captured) + "/" + name, text);
        return captured;
    }
    CommitReport apply(Store& store, const Captured& captured, const std::string& span, bool movable = true,
                       const std::vector<std::string>& only = {}) {
        auto report = apply_captured(store, env_, captured, span, "wld_1", movable, only);
        EXPECT_TRUE(report) << report.error().describe();
        return report ? *report : CommitReport{};
    }
    static Manifest manifest_of(const Store& store, const std::string& span) {
        const auto manifest = store.load(span);
        EXPECT_TRUE(manifest && *manifest) << span;
        return manifest && *manifest ? **manifest : Manifest{};
    }
    void expect_changed() const {
        EXPECT_EQ(read(project_ + "/a"), "new");
        EXPECT_EQ(read(project_ + "/sub/b"), "in");
        EXPECT_FALSE(exists(project_ + "/gone"));
        EXPECT_EQ(read(project_ + "/dir/kept"), "k");
    }
    // The stamp of a later clock tick than that of `written`.
    static std::int64_t copied_now(const Store& store, const std::string& written) {
        const auto st = sys::stat_at(AT_FDCWD, written.c_str()).value().value();
        std::int64_t stamp = 0;
        do stamp = sys::stamp_now(store.fd()).value();
        while (stamp <= sys::to_ns(st.stx_ctime));
        return stamp;
    }
    using Layers = std::vector<std::string>;
    static std::string before_of(const std::string& span) { return Store::span_dir(span) + "/before"; }
};

TEST_F(CapturedTest, TheChangeIsReadWithoutWriting) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::string host = listing(project_), kept = listing(store.path());
    const auto diff = diff_captured(store, captured);
    ASSERT_TRUE(diff) << diff.error().describe();
    EXPECT_EQ(diff->created, 2u);
    EXPECT_EQ(diff->modified, 1u);
    EXPECT_EQ(diff->deleted, 1u);
    EXPECT_EQ(listing(project_), host);
    EXPECT_EQ(listing(store.path()), kept);
}

// Whatever has let a command change it.
TEST_F(CapturedTest, WhatThePlanDoesNotPermitIsAConflict) {
    Store store = open_store();
    Captured captured = make_change(store);
    plan::WorldPlan plan;
    plan.capture.project = HostPath(project_);
    EXPECT_FALSE(permits_of(plan)) << "nothing is held by name";
    plan.guard.write_rules = {{{project_}, {literal_pattern(project_) + "/**/[ab]"}}};
    captured.permits = permits_of(plan);
    EXPECT_TRUE(captured.permits("sub", true)) << "on the way to a name";
    EXPECT_FALSE(captured.permits("sub", false));
    const std::string host = listing(project_), span = make_span_id(env_);
    const CommitReport report = apply(store, captured, span);
    EXPECT_EQ(report.state, "conflict");
    ASSERT_EQ(report.notices.size(), 2U);
    EXPECT_TRUE(report.notices[1].contains("gone (may not be changed, by the patterns of the policy)"))
        << report.notices[1];
    EXPECT_EQ(listing(project_), host);
    // One that permits all of it, and one that denies a part.
    plan.guard.write_rules[0].patterns.push_back(literal_pattern(project_) + "/g*");
    EXPECT_TRUE(permits_of(plan)("gone", false));
    plan.guard.patterns = {literal_pattern(project_) + "/sub/*"};
    EXPECT_FALSE(permits_of(plan)("sub/b", false));
    EXPECT_TRUE(permits_of(plan)("a", false));
}

TEST_F(CapturedTest, AppliesAndKeepsWhatWasThere) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::string span = make_span_id(env_);
    const CommitReport report = apply(store, captured, span);
    EXPECT_EQ(report.state, "applied");
    EXPECT_TRUE(report.notices.empty());
    expect_changed();
    const std::string before = store.path() + "/" + before_of(span);
    EXPECT_EQ(read(before + "/a"), "old");
    EXPECT_EQ(read(before + "/gone"), "x");
    EXPECT_TRUE(is_whiteout(before + "/sub"));
    const Manifest manifest = manifest_of(store, span);
    EXPECT_EQ(manifest.state, KeptState::applied);
    EXPECT_EQ(manifest.project, project_);
    EXPECT_GT(manifest.settled_ns, 0);
}

TEST_F(CapturedTest, AConflictWritesNothingAndKeepsTheCapture) {
    Store store = open_store();
    Captured captured = make_change(store);
    captured.captured_ns = kEarlier;
    const std::string host = listing(project_);
    const std::string span = make_span_id(env_);
    const CommitReport report = apply(store, captured, span);
    EXPECT_EQ(report.state, "conflict");
    ASSERT_GE(report.notices.size(), 2u);
    EXPECT_NE(report.notices[0].find("nothing was applied"), std::string::npos) << report.notices[0];
    EXPECT_EQ(listing(project_), host);
    const Manifest manifest = manifest_of(store, span);
    EXPECT_EQ(manifest.state, KeptState::conflict);
    EXPECT_EQ(captured_path(store, manifest), store.path() + "/" + Store::span_dir(span) + "/upper");
    EXPECT_EQ(read(captured_path(store, manifest) + "/a"), "new");
    // Decided about all the same: `substrate apply --force`.
    Captured again = captured_from(manifest, store.list().value());
    again.captured_ns = kLater;
    EXPECT_EQ(apply(store, again, span).state, "applied");
    expect_changed();
    EXPECT_FALSE(exists(captured_path(store, manifest))) << "used up";
}

TEST_F(CapturedTest, NamesOfConflictsCannotActOnATerminal) {
    Store store = open_store();
    write(project_ + "/e\x1b[2Jvil", "old");
    Captured captured = write_in_capture(store, "wld_1", "e\x1b[2Jvil", "new");
    captured.captured_ns = kEarlier;
    const CommitReport report = apply(store, captured, make_span_id(env_));
    EXPECT_EQ(report.state, "conflict");
    for (const std::string& notice : report.notices)
        EXPECT_EQ(notice.find('\x1b'), std::string::npos) << notice;
}

TEST_F(CapturedTest, ACaptureThatLivesOnStaysWhereItIs) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::string upper = listing(source(store, captured));
    const std::string span = make_span_id(env_);
    EXPECT_EQ(apply(store, captured, span, /*movable=*/false).state, "applied");
    expect_changed();
    EXPECT_EQ(listing(source(store, captured)), upper);
    EXPECT_EQ(manifest_of(store, span).dir, captured.dir);
    EXPECT_TRUE(diff_captured(store, captured).value().empty()) << "the host has it all";
}

TEST_F(CapturedTest, KeptCapturesMoveToTheirSpan) {
    Store store = open_store();
    for (const auto state : {KeptState::pending, KeptState::interrupted}) {
        const std::string span = make_span_id(env_);
        const Captured captured = write_in_capture(store, make_world_id(env_), "file", "text");
        ASSERT_TRUE(keep_captured(store, env_, captured, span, "wld_1", state));
        EXPECT_FALSE(exists(source(store, captured)));
        const Manifest manifest = manifest_of(store, span);
        EXPECT_EQ(manifest.state, state);
        EXPECT_EQ(read(captured_path(store, manifest) + "/file"), "text");
        // Keeping what is kept changes its state only.
        ASSERT_TRUE(
            keep_captured(store, env_, captured_from(manifest, {}), span, "wld_1", KeptState::conflict));
        EXPECT_EQ(manifest_of(store, span).state, KeptState::conflict);
        EXPECT_EQ(read(captured_path(store, manifest) + "/file"), "text");
    }
    EXPECT_FALSE(exists(project_ + "/file"));
}

TEST_F(CapturedTest, ACopyIsComparedAndApplied) {
    Store store = open_store();
    write(project_ + "/a", "old");
    write(project_ + "/gone", "x");
    write(project_ + "/left-out", "secret");
    Captured captured = make_capture(store, "wld_1", CaptureStrategy::copy_diff);
    captured.excluded = {"left-out"};
    captured.captured_ns = copied_now(store, project_ + "/left-out");
    write(source(store, captured) + "/a", "newer");
    write(source(store, captured) + "/b", "in");
    const auto diff = diff_captured(store, captured);
    ASSERT_TRUE(diff) << diff.error().describe();
    EXPECT_EQ(diff->deleted, 1u) << "what was not copied was not removed";
    const std::string span = make_span_id(env_);
    ASSERT_EQ(apply(store, captured, span).state, "applied");
    EXPECT_EQ(read(project_ + "/a"), "newer");
    EXPECT_EQ(read(project_ + "/b"), "in");
    EXPECT_EQ(read(project_ + "/left-out"), "secret");
    EXPECT_FALSE(exists(project_ + "/gone"));
    EXPECT_EQ(manifest_of(store, span).excluded, captured.excluded);
}

TEST_F(CapturedTest, SomePathsNowAndTheRestLater) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::string span = make_span_id(env_);
    EXPECT_EQ(apply(store, captured, span, true, {"a"}).state, "applied");
    EXPECT_EQ(read(project_ + "/a"), "new");
    EXPECT_TRUE(exists(project_ + "/gone"));
    EXPECT_FALSE(exists(project_ + "/sub"));
    const Manifest rest = manifest_of(store, span);
    EXPECT_EQ(rest.state, KeptState::pending);
    Captured again = captured_from(rest, store.list().value());
    again.captured_ns = kLater;
    EXPECT_EQ(apply(store, again, span).state, "applied");
    expect_changed();
}

TEST_F(CapturedTest, PendingCapturesLieBelowLaterOnes) {
    Store store = open_store();
    std::vector<std::string> spans;
    for (const std::int64_t time : {30, 10, 20}) {
        Captured captured = write_in_capture(store, make_world_id(env_), "f" + std::to_string(time), "x");
        captured.captured_ns = time;
        spans.push_back(make_span_id(env_));
        ASSERT_TRUE(keep_captured(store, env_, captured, spans.back(), "wld_1", KeptState::pending));
    }
    const auto all = store.list().value();
    ASSERT_EQ(all.size(), 3u);
    EXPECT_TRUE(captured_from(all[0], all).lowers.empty());
    EXPECT_EQ(captured_from(all[2], all).lowers,
              (Layers{Store::span_dir(spans[2]) + "/upper", Store::span_dir(spans[1]) + "/upper"}))
        << "the latest on top";
    const auto diff = diff_captured(store, captured_from(all[2], all));
    ASSERT_TRUE(diff) << diff.error().describe();
    EXPECT_EQ(diff->created, 1u);
}

// An apply of a live capture that failed leaves it pending in its world's slot.
TEST_F(CapturedTest, APendingCaptureIsFoundWhereItsManifestSays) {
    Store store = open_store();
    Manifest below{.span_id = make_span_id(env_),
                   .project = project_,
                   .state = KeptState::pending,
                   .captured_ns = 1,
                   .dir = "worlds/wld_1/slots/0"};
    Manifest above{
        .span_id = make_span_id(env_), .project = project_, .state = KeptState::pending, .captured_ns = 2};
    above.dir = Store::span_dir(above.span_id);
    EXPECT_EQ(captured_from(above, {below, above}).lowers, (Layers{"worlds/wld_1/slots/0/upper"}));
}

TEST_F(CapturedTest, AnInterruptedApplyIsCompleted) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::string span = make_span_id(env_);
    // As a crash after the first file leaves it: the manifest, its previous content, a part of the change.
    Manifest manifest{.span_id = span,
                      .project = project_,
                      .world_id = "wld_1",
                      .state = KeptState::applying,
                      .captured_ns = kEarlier,
                      .dir = captured.dir};
    ASSERT_TRUE(store.save(manifest));
    write(store.path() + "/" + before_of(span) + "/a", "old");
    write(project_ + "/a", "new");
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, source(store, captured) + "/a"));
    const std::string other = make_span_id(env_);
    ASSERT_TRUE(keep_captured(store, env_, write_in_capture(store, "wld_2", "other", "x"), other, "wld_2",
                              KeptState::pending));

    ASSERT_TRUE(finish_interrupted_applies(store, env_));
    expect_changed();
    EXPECT_EQ(manifest_of(store, span).state, KeptState::applied);
    EXPECT_EQ(read(store.path() + "/" + before_of(span) + "/a"), "old") << "the first attempt's";
    EXPECT_EQ(read(store.path() + "/" + before_of(span) + ".1/gone"), "x");
    EXPECT_EQ(manifest_of(store, other).state, KeptState::pending);
    EXPECT_FALSE(exists(project_ + "/other"));
    // Both parts show the project as it was.
    std::string why;
    EXPECT_EQ(layers_back_to(store, 1, why).value(), (Layers{before_of(span), before_of(span) + ".1"}))
        << why;
    const std::string done = listing(project_);
    ASSERT_TRUE(finish_interrupted_applies(store, env_)) << "once is enough";
    EXPECT_EQ(listing(project_), done);
}

// Files of a copy that are on the host already must not seem removed.
TEST_F(CapturedTest, AnInterruptedApplyOfACopyIsCompleted) {
    Store store = open_store();
    write(project_ + "/a", "old");
    write(project_ + "/gone", "x");
    Captured captured = make_capture(store, "wld_1", CaptureStrategy::copy_diff);
    captured.captured_ns = copied_now(store, project_ + "/gone");
    write(source(store, captured) + "/a", "newer");
    write(source(store, captured) + "/b", "in");
    const std::string span = make_span_id(env_);
    const Manifest manifest{.span_id = span,
                            .project = project_,
                            .world_id = "wld_1",
                            .state = KeptState::applying,
                            .strategy = CaptureStrategy::copy_diff,
                            .captured_ns = captured.captured_ns,
                            .dir = captured.dir};
    ASSERT_TRUE(store.save(manifest));
    ASSERT_TRUE(finish_interrupted_applies(store, env_));
    EXPECT_EQ(read(project_ + "/a"), "newer");
    EXPECT_EQ(read(project_ + "/b"), "in");
    EXPECT_FALSE(exists(project_ + "/gone"));
    EXPECT_EQ(read(source(store, captured) + "/a"), "newer") << "a second crash needs it";
    EXPECT_EQ(manifest_of(store, span).state, KeptState::applied);
}

TEST_F(CapturedTest, LayersLeadBackInOrder) {
    Store store = open_store();
    std::vector<std::string> spans;
    std::vector<std::int64_t> times = {env_.realtime_ns()};
    for (const char* text : {"one", "two", "three"}) {
        spans.push_back(make_span_id(env_));
        ASSERT_EQ(
            apply(store, write_in_capture(store, make_world_id(env_), "file", text), spans.back()).state,
            "applied");
        times.push_back(env_.realtime_ns());
    }
    std::string why;
    const auto back_to = [&](std::size_t i) { return layers_back_to(store, times[i], why).value(); };
    EXPECT_EQ(back_to(3), Layers{});
    EXPECT_EQ(back_to(2), Layers{before_of(spans[2])});
    EXPECT_EQ(back_to(1), (Layers{before_of(spans[1]), before_of(spans[2])})) << "the earliest change on top";
    EXPECT_EQ(back_to(0), (Layers{before_of(spans[0]), before_of(spans[1]), before_of(spans[2])}));
    EXPECT_EQ(why, "");
    EXPECT_EQ(read(store.path() + "/" + back_to(1)->front() + "/file"), "one");
}

TEST_F(CapturedTest, WhereALayerIsMissingItSaysWhy) {
    Store store = open_store();
    const std::int64_t start = env_.realtime_ns();
    const std::string first = make_span_id(env_), second = make_span_id(env_);
    ASSERT_EQ(apply(store, write_in_capture(store, "wld_a", "f", "1"), first).state, "applied");
    const std::int64_t between = env_.realtime_ns();
    ASSERT_EQ(apply(store, write_in_capture(store, "wld_b", "f", "2"), second).state, "applied");
    std::string why;
    ASSERT_TRUE(store.forget(manifest_of(store, first)));
    EXPECT_FALSE(layers_back_to(store, start, why).value());
    EXPECT_EQ(why, "the previous content of a later change is no longer kept");
    EXPECT_TRUE(layers_back_to(store, between, why).value());
    ASSERT_TRUE(store.discard(before_of(second)));
    EXPECT_FALSE(layers_back_to(store, between, why).value());
    EXPECT_EQ(why, "the previous content of " + second + " is no longer kept");
}

TEST_F(CapturedTest, NothingLeadsBackAcrossADirectChange) {
    Store store = open_store();
    const std::int64_t start = env_.realtime_ns();
    Captured direct;
    direct.strategy = CaptureStrategy::direct;
    const std::string span = make_span_id(env_);
    ASSERT_TRUE(note_direct_change(store, env_, direct, span, "wld_1"));
    EXPECT_TRUE(diff_captured(store, direct).value().empty());
    std::string why;
    EXPECT_FALSE(layers_back_to(store, start, why).value());
    EXPECT_EQ(why, span + " changed the project directly");
    EXPECT_TRUE(layers_back_to(store, env_.realtime_ns(), why).value());
}

// A part of a change that is on the host is between then and now as much as a whole one.
TEST_F(CapturedTest, APartlyAppliedChangeCountsOnTheWayBack) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::int64_t start = env_.realtime_ns();
    const std::string span = make_span_id(env_);
    ASSERT_EQ(apply(store, captured, span, true, {"a"}).state, "applied");
    std::string why;
    const auto layers = layers_back_to(store, start, why).value();
    EXPECT_TRUE(!layers || *layers == Layers{before_of(span)}) << "shows the new `a` as if it had been there";
}

TEST_F(CapturedTest, EachPartOfAChangeLeadsBackFromItsOwnTime) {
    Store store = open_store();
    const Captured captured = make_change(store);
    const std::int64_t start = env_.realtime_ns();
    const std::string span = make_span_id(env_);
    ASSERT_EQ(apply(store, captured, span, true, {"a"}).state, "applied");
    const std::int64_t between = env_.realtime_ns();
    Captured rest = captured_from(manifest_of(store, span), store.list().value());
    rest.captured_ns = kLater;
    ASSERT_EQ(apply(store, rest, span).state, "applied");
    std::string why;
    EXPECT_EQ(layers_back_to(store, start, why).value(), (Layers{before_of(span), before_of(span) + ".1"}));
    EXPECT_EQ(layers_back_to(store, between, why).value(), Layers{before_of(span) + ".1"});
    EXPECT_EQ(layers_back_to(store, env_.realtime_ns(), why).value(), Layers{});
}

TEST_F(CapturedTest, WhatWasNotAppliedLeadsNowhere) {
    Store store = open_store();
    const std::int64_t start = env_.realtime_ns();
    Captured captured = make_change(store);
    captured.captured_ns = kEarlier;
    ASSERT_EQ(apply(store, captured, make_span_id(env_)).state, "conflict");
    std::string why;
    EXPECT_EQ(layers_back_to(store, start, why).value(), Layers{}) << why;
}

}  // namespace
}  // namespace substrate::supervisor
