#include "supervisor/gc.hpp"

#include <algorithm>
#include <stop_token>
#include <thread>

#include "base/ids.hpp"
#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

class GcTest : public test_support::SupervisorTest {
  protected:
    GcReport collect(bool dry_run = false, const GcLimits& limits = {}) {
        GcReport report = collect_garbage(env_, {root_, base_ + "/never-used"}, dry_run, limits);
        for (const auto& error : report.errors) ADD_FAILURE() << error.name << ": " << error.reason;
        return report;
    }
    // A world that died with `name` written.
    std::string dead_world(Store& store, const std::string& name) {
        const std::string world = make_world_id(env_);
        const Captured captured = make_capture(store, world);
        if (!name.empty()) write(source(store, captured) + "/" + name, "text");
        return world;
    }
    std::string applied(Store& store, const std::string& name) {
        const Captured captured = make_capture(store, make_world_id(env_));
        write(source(store, captured) + "/" + name, "x");
        const std::string span = make_span_id(env_);
        const auto report = apply_captured(store, env_, captured, span, "wld_1", /*movable=*/true);
        EXPECT_TRUE(report && report->state == "applied");
        return span;
    }
    static bool removed(const GcReport& report, const std::string& path) {
        return std::ranges::count(report.removed, path) == 1;
    }
    // Of the world's slot 0, cut off by a crash.
    Manifest save_interrupted_apply(Store& store, const std::string& world) {
        const Manifest manifest{.span_id = make_span_id(env_),
                                .project = project_,
                                .world_id = world,
                                .state = KeptState::applying,
                                .captured_ns = 1,
                                .dir = "worlds/" + world + "/slots/0"};
        EXPECT_TRUE(store.save(manifest));
        return manifest;
    }
};

TEST_F(GcTest, NothingIsNothing) {
    const GcReport report = collect();
    EXPECT_TRUE(report.removed.empty() && report.kept.empty());
    EXPECT_FALSE(exists(root_));
}

TEST_F(GcTest, ChangesOfADeadWorldAreRescued) {
    Store store = open_store();
    const std::string world = dead_world(store, "unsaved");
    const GcReport report = collect();
    EXPECT_TRUE(removed(report, store.path() + "/worlds/" + world));
    EXPECT_FALSE(exists(store.path() + "/worlds/" + world));
    EXPECT_EQ(listing(store.path() + "/trash"), "");
    const auto all = store.list().value();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].state, KeptState::interrupted);
    EXPECT_EQ(all[0].world_id, world);
    EXPECT_EQ(read(captured_path(store, all[0]) + "/unsaved"), "text");
    EXPECT_FALSE(exists(project_ + "/unsaved"));
    ASSERT_FALSE(report.kept.empty());
    EXPECT_EQ(report.kept[0].name, all[0].span_id);
    EXPECT_NE(report.kept[0].reason.find("1 changed paths"), std::string::npos) << report.kept[0].reason;
    // Once rescued it stays.
    EXPECT_TRUE(collect().removed.empty());
    EXPECT_EQ(store.list().value().size(), 1u);
}

TEST_F(GcTest, WhatIsKeptIsNamedOnce) {
    Store store = open_store();
    dead_world(store, "unsaved");
    EXPECT_EQ(collect().kept.size(), 1u);
}

TEST_F(GcTest, ADeadWorldWithoutChangesJustGoes) {
    Store store = open_store();
    write(project_ + "/same", "text");
    dead_world(store, "");
    ASSERT_TRUE(sys::make_dirs(store.path() + "/worlds/half-made", 0700));
    const GcReport report = collect();
    EXPECT_EQ(report.removed.size(), 2u);
    EXPECT_TRUE(report.kept.empty());
    EXPECT_EQ(listing(store.path() + "/worlds"), "");
    EXPECT_TRUE(store.list().value().empty());
}

TEST_F(GcTest, ALivingWorldIsLeftAlone) {
    Store store = open_store();
    const std::string world = make_world_id(env_);
    const auto lock = store.make_world(world, /*reuse=*/false);
    ASSERT_TRUE(lock);
    const auto slot = store.make_slot(world, 0, CaptureStrategy::overlay);
    ASSERT_TRUE(slot);
    write(store.path() + "/" + *slot + "/upper/unsaved", "x");
    const std::string before = listing(store.path() + "/worlds");
    const GcReport report = collect();
    EXPECT_TRUE(report.removed.empty());
    ASSERT_EQ(report.kept.size(), 1u);
    EXPECT_EQ(report.kept[0].name, world);
    EXPECT_EQ(listing(store.path() + "/worlds"), before);
    EXPECT_TRUE(store.list().value().empty());
}

TEST_F(GcTest, ADryRunWritesNothing) {
    Store store = open_store();
    applied(store, "done");
    const std::string world = dead_world(store, "unsaved");
    dead_world(store, "");
    Manifest interrupted{.span_id = make_span_id(env_),
                         .project = project_,
                         .world_id = world,
                         .state = KeptState::applying,
                         .captured_ns = 1,
                         .dir = "worlds/" + world + "/slots/0"};
    ASSERT_TRUE(store.save(interrupted));
    const std::string before = listing(base_);
    const GcReport dry = collect(/*dry_run=*/true, {.kept_spans = 0});
    EXPECT_EQ(listing(base_), before);
    EXPECT_GE(dry.removed.size(), 3u);
    EXPECT_FALSE(dry.kept.empty());
}

TEST_F(GcTest, ADryRunNamesWhatARunRemoves) {
    Store store = open_store();
    for (const char* name : {"a", "b", "c"}) applied(store, name);
    dead_world(store, "");
    const GcLimits limits{.kept_spans = 1};
    const GcReport dry = collect(/*dry_run=*/true, limits);
    EXPECT_EQ(dry.removed, collect(/*dry_run=*/false, limits).removed);
}

TEST_F(GcTest, InterruptedAppliesAreCompletedFirst) {
    Store store = open_store();
    const std::string world = dead_world(store, "half");
    const Manifest manifest = save_interrupted_apply(store, world);
    const GcReport report = collect();
    EXPECT_EQ(read(project_ + "/half"), "text");
    EXPECT_EQ(store.load(manifest.span_id).value()->state, KeptState::applied);
    EXPECT_TRUE(report.kept.empty()) << "nothing was left to rescue: " << report.kept[0].reason;
    EXPECT_TRUE(removed(report, store.path() + "/worlds/" + world));
}

TEST_F(GcTest, PreviousContentGoesByNumber) {
    Store store = open_store();
    const std::string oldest = applied(store, "a");
    const std::int64_t after_oldest = env_.realtime_ns();
    const std::string middle = applied(store, "b"), newest = applied(store, "c");
    const GcReport report = collect(false, {.kept_spans = 2});
    EXPECT_TRUE(removed(report, store.path() + "/" + Store::span_dir(oldest)));
    EXPECT_EQ(store.list().value().size(), 2u);
    std::string why;
    EXPECT_TRUE(layers_back_to(store, after_oldest, why).value()) << why;
    EXPECT_FALSE(layers_back_to(store, 1, why).value());
    EXPECT_EQ(read(project_ + "/a"), "x") << "the change itself stays";
    EXPECT_NE(middle, newest);
}

TEST_F(GcTest, PreviousContentGoesByAge) {
    Store store = open_store();
    const std::string old = applied(store, "a");
    env_.now_ns += 1'000'000'000;
    const std::string fresh = applied(store, "b");
    collect(false, {.kept_spans = 10, .kept_ns = 500'000'000});
    EXPECT_FALSE(store.load(old).value());
    EXPECT_TRUE(store.load(fresh).value());
}

TEST_F(GcTest, UndecidedChangesAreNeverCollected) {
    Store store = open_store();
    for (const auto state : {KeptState::pending, KeptState::conflict, KeptState::interrupted}) {
        const Captured captured = make_capture(store, make_world_id(env_));
        write(source(store, captured) + "/f", "x");
        ASSERT_TRUE(keep_captured(store, env_, captured, make_span_id(env_), "wld_1", state));
    }
    env_.now_ns += std::int64_t{365} * 24 * 3600 * 1'000'000'000;
    const GcReport report = collect(false, {.kept_spans = 0, .kept_ns = 0});
    const auto all = store.list().value();
    EXPECT_EQ(all.size(), 3u);
    EXPECT_EQ(report.kept.size(), 3u);
    for (const Manifest& manifest : all) EXPECT_EQ(read(captured_path(store, manifest) + "/f"), "x");
}

TEST_F(GcTest, TheTrashIsEmptied) {
    Store store = open_store();
    write(store.path() + "/trash/7/left", "x");
    collect(/*dry_run=*/true);
    EXPECT_TRUE(exists(store.path() + "/trash/7/left"));
    collect();
    EXPECT_EQ(listing(store.path() + "/trash"), "");
}

TEST_F(GcTest, OneBrokenStoreDoesNotStopTheOthers) {
    Store store = open_store();
    dead_world(store, "");
    ASSERT_TRUE(sys::make_dirs(root_ + "/p-0000000000000000", 0700));
    write(root_ + "/p-1111111111111111", "a file");
    const GcReport report = collect_garbage(env_, {root_}, /*dry_run=*/false);
    EXPECT_EQ(report.errors.size(), 2u);
    EXPECT_EQ(report.removed.size(), 1u);
}

// The project was deleted: its dead worlds without a change must go all the same,
// and what they captured must not be lost silently.
TEST_F(GcTest, WorldsOfADeletedProjectAreCollected) {
    Store store = open_store();
    const std::string world = dead_world(store, "");
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, project_));
    const GcReport report = collect_garbage(env_, {root_}, /*dry_run=*/false);
    EXPECT_TRUE(removed(report, store.path() + "/worlds/" + world));
    EXPECT_TRUE(report.errors.empty()) << report.errors[0].reason;
}

TEST_F(GcTest, ChangesForADeletedProjectAreRescued) {
    Store store = open_store();
    dead_world(store, "unsaved");
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, project_));
    collect();
    const auto all = store.list().value();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(read(captured_path(store, all[0]) + "/unsaved"), "text");
}

TEST_F(GcTest, AnInterruptedApplyToADeletedProjectIsKept) {
    Store store = open_store();
    const std::string world = dead_world(store, "half");
    const Manifest manifest = save_interrupted_apply(store, world);
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, project_));
    collect();
    const auto kept = store.load(manifest.span_id).value();
    ASSERT_TRUE(kept);
    EXPECT_EQ(kept->state, KeptState::interrupted);
    EXPECT_EQ(read(captured_path(store, *kept) + "/half"), "text");
}

// How the capture was made decides what in it is a change.
TEST_F(GcTest, ARescueTakesTheCaptureForWhatItWas) {
    Store store = open_store();
    write(project_ + "/same", "s");
    write(project_ + "/left-out", "l");
    const std::string world = make_world_id(env_);
    Captured captured = make_capture(store, world, CaptureStrategy::copy_diff);
    captured.excluded = {"left-out"};
    captured.user_xattrs = false;
    captured.captured_ns = 1;
    ASSERT_TRUE(mark_captured(store, env_, captured, make_span_id(env_), world));
    write(source(store, captured) + "/same", "s");
    const auto st = sys::stat_at(AT_FDCWD, (project_ + "/same").c_str()).value().value();
    ASSERT_TRUE(sys::set_mtime_at(AT_FDCWD, (source(store, captured) + "/same").c_str(), st));
    write(source(store, captured) + "/unsaved", "text");
    collect();
    const auto all = store.list().value();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].strategy, CaptureStrategy::copy_diff);
    EXPECT_FALSE(all[0].user_xattrs);
    EXPECT_EQ(all[0].excluded, captured.excluded);
    EXPECT_EQ(all[0].captured_ns, 1) << "what changed on the host since then is a conflict";
    EXPECT_EQ(read(captured_path(store, all[0]) + "/unsaved"), "text");
}

TEST_F(GcTest, AWorldThatIsBeingMadeIsLeftAlone) {
    Store store = open_store();
    std::jthread collector([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) (void)collect_garbage(env_, {root_}, /*dry_run=*/false);
    });
    for (int i = 0; i < 300; ++i) {
        const std::string world = "wld_" + std::to_string(i);
        const auto lock = store.make_world(world, /*reuse=*/false);
        ASSERT_TRUE(lock) << lock.error().describe();
        ASSERT_TRUE(exists(store.path() + "/worlds/" + world + "/lock")) << i;
        ASSERT_TRUE(store.discard("worlds/" + world));
    }
}

}  // namespace
}  // namespace substrate::supervisor
