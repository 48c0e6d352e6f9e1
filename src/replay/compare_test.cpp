#include "replay/compare.hpp"

#include <gtest/gtest.h>

namespace substrate::replay {
namespace {

using Lines = std::vector<std::string>;

Span recorded() {
    Span span;
    span.fs_diff.entries = {{.path = "a", .mode = 0644, .uid = 1, .size = 5, .mtime_ns = 7},
                            {.path = "b", .kind = ChangeKind::modify, .mode = 0600, .size = 1},
                            {.path = "l", .type = FileType::symlink, .mode = 0777, .link_target = "a"}};
    span.fs_diff.files = 3;
    span.fs_diff.created = 2;
    span.fs_diff.modified = 1;
    span.output = {"xxh3:1", "xxh3:2", 10, 20, false};
    span.replay.policy_id = "default";
    span.replay.policy_hash = "sha256:1";
    span.replay.world_image_version = "12.1";
    span.replay.tool_path = "/usr/bin/make";
    span.replay.tool_hash = "xxh3:9";
    span.replay.hostname = "substrate";
    return span;
}

TEST(Compare, EqualRunsAreTheSameWhateverTheirTimesAndOwners) {
    Span again = recorded();
    again.ts_ns = 99;
    again.duration_ms = 3;
    again.fs_diff.entries[0].mtime_ns = 100;
    again.fs_diff.entries[0].uid = 1000;
    const Comparison result = compare(recorded(), again);
    EXPECT_TRUE(result.same());
    EXPECT_EQ(result.lines(), Lines{"same exit code, output and file changes"});
}

TEST(Compare, NamesEachResultThatDiffers) {
    Span again = recorded();
    again.exit = 137;
    again.signal = 9;
    again.output.stdout_hash = "xxh3:3";
    again.output.stdout_bytes = 11;
    EXPECT_EQ(compare(recorded(), again).lines(),
              (Lines{"exit code: recorded 0, replayed 137", "signal: recorded 0, replayed 9",
                     "standard output: recorded 10 bytes xxh3:1, replayed 11 bytes xxh3:3"}));
}

TEST(Compare, OutputCountsOnlyWhereBothSawIt) {
    Span again = recorded();
    again.output = {};
    EXPECT_TRUE(compare(recorded(), again).same()) << "a terminal";
    again.output = {"xxh3:7", "", 30, 0, true};
    EXPECT_TRUE(compare(recorded(), again).same()) << "one pipe for both";
}

TEST(Compare, ShowsWhatDiffersInEachPath) {
    Span again = recorded();
    again.fs_diff.entries[0].size = 6;
    again.fs_diff.entries[1].path = "c\x1b[31m";
    again.fs_diff.entries[2].link_target = "b";
    const Comparison result = compare(recorded(), again);
    EXPECT_EQ(result.differing_entries, 4u);
    EXPECT_EQ(result.lines(),
              (Lines{"a: recorded create file mode 0644 size 5; replayed create file mode 0644 size 6",
                     "b: recorded modify file mode 0600 size 1; replayed not changed",
                     "c\\x1b[31m: recorded not changed; replayed modify file mode 0600 size 1",
                     "l: recorded create symlink mode 0777 -> a; replayed create symlink mode 0777 -> b"}));
    EXPECT_EQ(compare(recorded(), again, 1).lines().back(), "and 3 more paths");
}

TEST(Compare, TreeHashesDecideWhereBothAreThere) {
    Span first = recorded();
    Span again = recorded();
    first.fs_diff.tree_hash = again.fs_diff.tree_hash = "xxh3:a";
    again.fs_diff.entries.clear();
    EXPECT_TRUE(compare(first, again).same());
    again.fs_diff = first.fs_diff;
    again.fs_diff.tree_hash = "xxh3:b";
    again.fs_diff.truncated = true;
    const Comparison result = compare(first, again);
    EXPECT_FALSE(result.same());
    EXPECT_EQ(result.lines(), (Lines{"tree hash: recorded xxh3:a, replayed xxh3:b",
                                     "single paths are not compared: a list of changes was truncated"}));
}

TEST(Drift, NamesWhatChangedAndNothingThatWasNotDetermined) {
    EXPECT_EQ(drift(recorded(), {}), Lines{});
    const CurrentState now{.policy_id = "default",
                           .policy_hash = "sha256:2",
                           .world_image_version = "12.2",
                           .tool_path = "/usr/bin/make",
                           .tool_hash = "xxh3:8",
                           .hostname = "other",
                           .changed_paths = {"a", "b", "c", "d", "e", "f\n"}};
    EXPECT_EQ(drift(recorded(), now),
              (Lines{"policy content changed: sha256:1 when recorded, sha256:2 now",
                     "world image changed: 12.1 when recorded, 12.2 now",
                     "tool binary /usr/bin/make changed: xxh3:9 when recorded, xxh3:8 now",
                     "hostname changed: substrate when recorded, other now",
                     "project content changed: a, b, c, d, e and 1 more"}));
}

}  // namespace
}  // namespace substrate::replay
