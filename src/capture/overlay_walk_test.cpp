#include "capture/overlay_walk.hpp"

#include <sys/stat.h>

#include "capture/diff_builder.hpp"
#include "capture/testing.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

using testing::overlay_lines;
using testing::Scratch;
using Lines = std::vector<std::string>;

TEST(OverlayWalk, ReportsEveryKindAndNothingElse) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare(
        "mkdir -p d/sub keep gone/deep modeonly; for f in same chmod touch edit dead to_dir; do echo $f > "
        "$f; done; "
        "echo x > d/sub/x; echo y > gone/deep/y; echo z > gone/z; mkdir to_file; echo c > to_file/c; "
        "ln -s old link; ln -s same swap; mkfifo pipe");
    s.run(
        "chmod +x chmod; touch touch; echo more >> edit; rm dead; rm to_dir; mkdir to_dir; echo n > "
        "to_dir/n; "
        "rm -r to_file; echo f > to_file; rm -r gone; chmod 700 modeonly; ln -sfn new link; rm swap; echo s "
        "> swap; "
        "echo n > d/sub/n; mkdir -p fresh/empty; ln -s /etc/passwd abs; ln -s nowhere dangling; rm pipe; "
        "mkfifo pipe2; "
        // Copied up, but as it was.
        "chmod 600 same; chmod 644 same; touch d/t; rm d/t");
    EXPECT_EQ(overlay_lines(s.layers()), (Lines{"create directory fresh",
                                                "create directory fresh/empty",
                                                "create fifo pipe2",
                                                "create file d/sub/n",
                                                "create file to_dir/n",
                                                "create symlink abs -> /etc/passwd",
                                                "create symlink dangling -> nowhere",
                                                "delete directory gone",
                                                "delete directory gone/deep",
                                                "delete fifo pipe",
                                                "delete file dead",
                                                "delete file gone/deep/y",
                                                "delete file gone/z",
                                                "delete file to_file/c",
                                                "modify directory modeonly",
                                                "modify file chmod",
                                                "modify file edit",
                                                "modify file touch",
                                                "modify symlink link -> new",
                                                "type_change directory to_dir",
                                                "type_change file swap",
                                                "type_change file to_file"}));
}

TEST(OverlayWalk, AnOpaqueDirectoryRemovesWhatItHides) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("mkdir -p d/in/deep; echo a > d/a; echo b > d/b; echo c > d/in/c; echo e > d/in/deep/e");
    s.run(
        "cp -p d/b /tmp/.b.$$; rm -r d; mkdir -p d/in; touch -d '2020-01-02 03:04:05.6789' d/b0; echo new > "
        "d/new; "
        "mv /tmp/.b.$$ d/b; touch d/in/q");
    EXPECT_EQ(overlay_lines(s.layers()), (Lines{"create file d/b0", "create file d/in/q", "create file d/new",
                                                "delete directory d/in/deep", "delete file d/a",
                                                "delete file d/in/c", "delete file d/in/deep/e"}));
}

TEST(OverlayWalk, OddNamesSurvive) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare(":");
    s.run(
        "printf x > \"$(printf 'a\\377b')\"; printf x > 'new\nline'; mkdir -- '-rf *'; : > \"$(printf "
        "'\\033[31m')\"");
    EXPECT_EQ(overlay_lines(s.layers()), (Lines{"create directory -rf *", "create file \033[31m",
                                                "create file a\377b", "create file new\nline"}));
}

TEST(OverlayWalk, LooksThroughAStackOfLowers) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare(
        "mkdir -p d/e o; echo 1 > d/one; echo 2 > d/two; echo 3 > d/e/three; echo o > o/o; echo k > k; echo "
        "r > r");
    s.run("rm d/two; echo m > d/mid; rm -r o; mkdir o; echo p > o/p; echo kk > k; rm r");
    for (const char* name : {"upper2", "work2"}) ASSERT_TRUE(sys::make_dirs(s.at(name), 0755).has_value());
    const std::string answer =
        testing::in_overlay({s.at("upper"), s.project()}, s.at("upper2"), s.at("work2"), s.at("merged"), [] {
            testing::shell(
                ".", "echo again > d/two; rm d/mid; echo o2 > o/o; rm -r d/e; rm k; echo r > r; rm o/p");
            return std::string();
        });
    EXPECT_EQ(answer, "");
    const auto upper2 = testing::open_dir(s.at("upper2"));
    auto layers = s.layers();
    const OverlayLayers stacked{.upper = upper2.get(), .lowers = {layers.upper, layers.lowers[0]}};
    EXPECT_EQ(overlay_lines(stacked),
              (Lines{"create file d/two", "create file o/o", "create file r", "delete directory d/e",
                     "delete file d/e/three", "delete file d/mid", "delete file k", "delete file o/p"}));
}

TEST(OverlayWalk, ARemovedDirectoryOfTheStackIsListedMerged) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("mkdir -p d/e; echo 1 > d/one; echo 2 > d/two; echo 3 > d/e/three");
    s.run("rm d/two; echo m > d/mid; echo 11 > d/one; echo 4 > d/e/four");
    for (const char* name : {"upper2", "work2"}) ASSERT_TRUE(sys::make_dirs(s.at(name), 0755).has_value());
    (void)testing::in_overlay({s.at("upper"), s.project()}, s.at("upper2"), s.at("work2"), s.at("merged"),
                              [] {
                                  testing::shell(".", "rm -r d");
                                  return std::string();
                              });
    const auto upper2 = testing::open_dir(s.at("upper2"));
    auto layers = s.layers();
    EXPECT_EQ(overlay_lines({.upper = upper2.get(), .lowers = {layers.upper, layers.lowers[0]}}),
              (Lines{"delete directory d", "delete directory d/e", "delete file d/e/four",
                     "delete file d/e/three", "delete file d/mid", "delete file d/one"}));
}

TEST(OverlayWalk, HonoursWhiteoutsByAttribute) {
    Scratch s;
    s.prepare("mkdir d; echo a > d/a; echo b > d/b");
    testing::shell(s.at("upper"), "mkdir d; : > d/a; : > d/empty");
    const auto dir = testing::open_dir(s.at("upper/d"));
    if (!sys::set_xattr(dir.get(), "user.overlay.opaque", "x")) GTEST_SKIP() << "no user.* attributes here";
    ASSERT_TRUE(sys::set_xattr_at(dir.get(), "a", "user.overlay.whiteout", "y").has_value());
    EXPECT_EQ(overlay_lines(s.layers()), (Lines{"create file d/empty", "delete file d/a"}));
}

TEST(OverlayWalk, RefusesARedirectedDirectory) {
    Scratch s;
    testing::shell(s.at("upper"), "mkdir d");
    const auto dir = testing::open_dir(s.at("upper/d"));
    if (!sys::set_xattr(dir.get(), "user.overlay.redirect", "/old"))
        GTEST_SKIP() << "no user.* attributes here";
    const auto walked = walk_overlay(s.layers(), [](const Change&) -> Result<> { return {}; });
    ASSERT_FALSE(walked.has_value());
    EXPECT_EQ(walked.error().code(), Errc::unsupported);
}

TEST(OverlayWalk, NeverFollowsALinkInEitherLayer) {
    Scratch s;
    s.prepare("ln -s /etc d");
    testing::shell(s.at("upper"), "mkdir d; echo x > d/passwd; ln -s /etc e");
    EXPECT_EQ(overlay_lines(s.layers()),
              (Lines{"create file d/passwd", "create symlink e -> /etc", "type_change directory d"}));
}

TEST(OverlayWalk, GoesDeeperThanPathsAndDescriptorsAllow) {
    Scratch s;
    constexpr int kDepth = 900;
    auto dir = testing::open_dir(s.at("upper"));
    auto lower = testing::open_dir(s.project());
    for (int i = 0; i < kDepth; ++i) {
        for (auto* d : {&dir, &lower}) {
            ASSERT_TRUE(sys::make_dir_at(d->get(), "deep", 0755).has_value());
            ASSERT_TRUE(sys::make_dir_at(d->get(), "side", 0755).has_value());
            auto next = sys::open_dir_at(d->get(), "deep");
            ASSERT_TRUE(next.has_value());
            *d = std::move(*next);
        }
        ASSERT_TRUE(sys::make_fifo_at(dir.get(), "f", 0600).has_value());
    }
    std::size_t count = 0;
    const auto walked = walk_overlay(s.layers(), [&](const Change& c) -> Result<> {
        count += c.type == FileType::fifo;
        return {};
    });
    EXPECT_TRUE(walked.has_value());
    EXPECT_EQ(count, kDepth);
    // rm -r manages what a recursive remover may not.
    testing::shell(s.at("."), "rm -r upper project; mkdir upper project");
}

TEST(OverlayWalk, UnlocksDirectoriesOfTheUpperForTheVisitOnly) {
    Scratch s;
    testing::shell(s.at("upper"), "mkdir -p d/e; : > d/e/f; chmod 0 d/e; chmod 0500 d");
    EXPECT_EQ(overlay_lines(s.layers()),
              (Lines{"create directory d", "create directory d/e", "create file d/e/f"}));
    struct ::statx st{};
    const auto d = testing::open_dir(s.at("upper/d"));
    ASSERT_TRUE(sys::stat_entry(d.get(), "e", st).value_or(false));
    EXPECT_EQ(st.stx_mode & 07777, 0);
}

TEST(OverlayWalk, TenThousandFilesInOneDirectory) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("mkdir d; cd d; seq 1 10000 | xargs touch");
    s.run("cd d; seq 5001 10000 | xargs rm; seq 10001 15000 | xargs touch");
    DiffBuilder builder;
    ASSERT_TRUE(walk_overlay(s.layers(), [&](const Change& c) { return builder.add(c); }).has_value());
    const FsDiff diff = builder.finish();
    EXPECT_EQ(diff.created, 5000u);
    EXPECT_EQ(diff.deleted, 5000u);
    EXPECT_TRUE(diff.truncated);
    EXPECT_EQ(diff.entries.size(), 1000u);
    EXPECT_EQ(diff.summary, "0 dirs, 10000 files (truncated, see tree_hash)");
}

TEST(OverlayWalk, AFailingSinkEndsTheWalk) {
    Scratch s;
    testing::shell(s.at("upper"), "touch a b c");
    int calls = 0;
    const auto walked = walk_overlay(s.layers(), [&](const Change&) -> Result<> {
        ++calls;
        return fail({Errc::internal, "enough"});
    });
    EXPECT_FALSE(walked.has_value());
    EXPECT_EQ(calls, 1);
}

// What fuse-overlayfs leaves in its upper directory, with and without device nodes.
TEST(FuseWalk, MarksAreNoFiles) {
    testing::TempDir root;
    ASSERT_TRUE(testing::shell(root.path(), R"(
        mkdir -p project/gone_dir project/emptied project/kept upper/new upper/emptied upper/kept
        echo x >project/gone; echo x >project/gone_dir/in; echo x >project/emptied/a; echo x >project/emptied/b
        echo x >project/kept/in; echo x >project/again
        touch upper/.wh.gone upper/.wh.gone_dir upper/.wh.again upper/.wh.never upper/new/.wh..wh..opq
        touch upper/emptied/.wh..wh..opq upper/emptied/.wh.a; echo y >upper/emptied/c
        echo y >upper/new/in; echo longer >upper/again)"));
    const sys::UniqueFd upper = testing::open_dir(root.path() + "/upper");
    const sys::UniqueFd project = testing::open_dir(root.path() + "/project");
    EXPECT_EQ(
        testing::overlay_lines({.upper = upper.get(), .lowers = {project.get()}, .whiteout_files = true}),
        (std::vector<std::string>{"create directory new", "create file emptied/c", "create file new/in",
                                  "delete directory gone_dir", "delete file emptied/a",
                                  "delete file emptied/b", "delete file gone", "delete file gone_dir/in",
                                  "modify file again"}));
}

}  // namespace
}  // namespace substrate::capture
