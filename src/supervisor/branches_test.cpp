#include "supervisor/branches.hpp"

#include <algorithm>

#include "supervisor/gc.hpp"
#include "supervisor/supervisor_test_support.hpp"
#include "sys/xattr.hpp"

namespace substrate::supervisor {
namespace {

class BranchesTest : public test_support::SupervisorTest {
  protected:
    // A pending change of a line: `path` with `text`; returns its span.
    std::string make_pending(Store& store, const std::string& path, const std::string& text,
                             const Branch* branch = nullptr) {
        const std::string world = make_world_id(env_);
        Captured captured = make_capture(store, world);
        captured.captured_ns = env_.realtime_ns();
        if (branch != nullptr) {
            captured.branch = branch->id;
            captured.base_ns = branch->base_ns;
            captured.captured_ns = branch->base_ns;
        }
        write(source(store, captured) + "/" + path, text);
        const std::string span = make_span_id(env_);
        EXPECT_TRUE(keep_captured(store, env_, captured, span, branch != nullptr ? branch->id : world,
                                  KeptState::pending));
        return span;
    }
    Branch make_branch(const char* prefix = "wld") {
        return {.id = make_id(env_, prefix),
                .name = "try",
                .agent_id = "bot",
                .cwd = project_,
                .from = "wld_x",
                .base_ns = env_.realtime_ns(),
                .made_ns = env_.realtime_ns(),
                .used_ns = 0};
    }
    static std::vector<Manifest> of_line(const Store& store, const std::string& line) {
        std::vector<Manifest> found = store.list().value();
        std::erase_if(found, [&](const Manifest& manifest) { return manifest.branch != line; });
        return found;
    }
    GcReport collect(std::int64_t kept_ns = INT64_MAX / 4) {
        return collect_garbage(env_, {root_}, /*dry_run=*/false, {.kept_spans = 200, .kept_ns = kept_ns});
    }
};

TEST_F(BranchesTest, AreKeptAsTheyWereSaved) {
    Store store = open_store();
    EXPECT_TRUE(list_branches(store).value().empty());
    const Branch world = make_branch();
    const Branch snapshot = make_branch("snp");
    ASSERT_TRUE(save_branch(store, world));
    ASSERT_TRUE(save_branch(store, snapshot));
    write(store.path() + "/branches/wld_nonsense.json", "{}");
    write(store.path() + "/branches/" + make_world_id(env_) + ".json", "{torn");
    const auto all = list_branches(store).value();
    ASSERT_EQ(all.size(), 2u) << "damaged ones are left out";
    EXPECT_NE(std::ranges::find(all, world), all.end());
    EXPECT_NE(std::ranges::find(all, snapshot), all.end());
    EXPECT_TRUE(snapshot.is_snapshot());
    ASSERT_TRUE(remove_branch(store, world.id));
    ASSERT_TRUE(remove_branch(store, world.id)) << "gone already";
    EXPECT_EQ(list_branches(store).value(), std::vector{snapshot});
}

TEST_F(BranchesTest, ACopyOfALineIsWholeAndItsOwn) {
    Store store = open_store();
    write(project_ + "/gone", "x");
    write(project_ + "/dir/below", "x");
    const std::string first = make_pending(store, "a", "one");
    const std::string below = store.path() + "/" + Store::span_dir(first) + "/upper";
    white_out(below, "gone");
    write(below + "/dir/new", "opaque");
    const auto dir = sys::open_path(below, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(sys::set_xattr_at(dir->get(), "dir", "user.overlay.opaque", "y"));
    make_pending(store, "a", "two");
    const Branch branch = make_branch();
    ASSERT_TRUE(copy_line(store, env_, "", branch));
    const auto copies = of_line(store, branch.id);
    ASSERT_EQ(copies.size(), 2u);
    EXPECT_EQ(copies[0].copied_from, first);
    EXPECT_EQ(copies[0].world_id, branch.id);
    EXPECT_EQ(read(captured_path(store, copies[0]) + "/a"), "one");
    EXPECT_EQ(read(captured_path(store, copies[1]) + "/a"), "two");
    EXPECT_TRUE(is_whiteout(captured_path(store, copies[0]) + "/gone"));
    const auto copied = sys::open_path(captured_path(store, copies[0]), O_RDONLY | O_DIRECTORY);
    EXPECT_EQ(sys::read_xattr_at(copied->get(), "dir", "user.overlay.opaque").value(), "y");
    // What they change is the same, whichever line shows it.
    const auto all = store.list().value();
    const auto original = of_line(store, "");
    EXPECT_EQ(diff_captured(store, captured_from(original[0], all)).value(),
              diff_captured(store, captured_on_base(store, copies[0], all).value()).value());
    // And what becomes of one is nothing to the other.
    ASSERT_TRUE(drop_line(store, ""));
    EXPECT_EQ(read(captured_path(store, copies[0]) + "/a"), "one");
    EXPECT_EQ(pending_uppers(store.list().value(), branch.id).size(), 2u);
    EXPECT_TRUE(pending_uppers(store.list().value(), "").empty());
}

TEST_F(BranchesTest, LinesDoNotLieOnEachOther) {
    Store store = open_store();
    const Branch branch = make_branch();
    make_pending(store, "theirs", "x");
    const std::string mine = make_pending(store, "mine", "x", &branch);
    const std::string later = make_pending(store, "mine", "y", &branch);
    const auto all = store.list().value();
    const auto of = [&](const std::string& span) {
        return captured_from(*std::ranges::find(all, span, &Manifest::span_id), all);
    };
    EXPECT_EQ(of(later).lowers, std::vector{Store::span_dir(mine) + "/upper"});
    EXPECT_TRUE(of(mine).lowers.empty());
    EXPECT_EQ(of(mine).branch, branch.id);
}

// What others have brought to the host since is not seen, but for what the branch has brought there itself.
TEST_F(BranchesTest, TheProjectIsShownAsItWas) {
    Store store = open_store();
    write(project_ + "/f", "old");
    const Branch branch = make_branch();
    const auto apply = [&](const Branch* line, const char* path) {
        Captured captured = make_capture(store, make_world_id(env_));
        if (line != nullptr) captured.branch = line->id;
        write(source(store, captured) + "/" + path, "new");
        const std::string span = make_span_id(env_);
        EXPECT_EQ(apply_captured(store, env_, captured, span, "wld_1", /*movable=*/true).value().state,
                  "applied");
        return Store::span_dir(span) + "/before";
    };
    const std::string theirs = apply(nullptr, "f");
    apply(&branch, "mine");
    EXPECT_EQ(branch_layers(store, branch).value(), std::vector{theirs});
    ASSERT_TRUE(store.forget_until(env_.realtime_ns()));
    const auto lost = branch_layers(store, branch);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code(), Errc::conflict);
}

TEST_F(BranchesTest, ChangesThatNothingCanLieOnAreNotCopied) {
    Store store = open_store();
    const Captured captured = make_capture(store, make_world_id(env_), CaptureStrategy::copy_diff);
    ASSERT_TRUE(keep_captured(store, env_, captured, make_span_id(env_), "wld_1", KeptState::pending));
    const auto copied = copy_line(store, env_, "", make_branch());
    ASSERT_FALSE(copied);
    EXPECT_EQ(copied.error().code(), Errc::unsupported);
}

// Not the directories of worlds, which nobody runs here.
std::ptrdiff_t spans_in(const GcReport& report) {
    return std::ranges::count_if(report.removed,
                                 [](const std::string& name) { return name.contains("/spans/"); });
}

TEST_F(BranchesTest, AreCollectedByRule) {
    Store store = open_store();
    const Branch snapshot = make_branch("snp");
    const Branch holding = make_branch();
    const Branch empty = make_branch();
    const Branch interrupted = make_branch();
    const std::string first = make_pending(store, "a", "x");
    for (const Branch* branch : {&snapshot, &interrupted}) ASSERT_TRUE(copy_line(store, env_, "", *branch));
    for (const Branch* branch : {&snapshot, &holding, &empty}) ASSERT_TRUE(save_branch(store, *branch));
    const std::string own = make_pending(store, "b", "x", &holding);
    // What a copy has left that never came to its end goes at once; nothing else does.
    const GcReport at_once = collect();
    EXPECT_EQ(spans_in(at_once), 1) << testing::PrintToString(at_once.removed);
    EXPECT_TRUE(of_line(store, interrupted.id).empty());
    EXPECT_EQ(list_branches(store).value().size(), 3u);
    EXPECT_EQ(spans_in(collect()), 0);
    // By age: a snapshot with what it holds, and a world that holds nothing.
    const GcReport report = collect(/*kept_ns=*/0);
    EXPECT_TRUE(report.errors.empty());
    EXPECT_EQ(list_branches(store).value(), std::vector{holding});
    EXPECT_TRUE(of_line(store, snapshot.id).empty());
    ASSERT_EQ(of_line(store, holding.id).size(), 1u);
    EXPECT_EQ(of_line(store, holding.id)[0].span_id, own);
    EXPECT_EQ(of_line(store, "")[0].span_id, first);
}

}  // namespace
}  // namespace substrate::supervisor
