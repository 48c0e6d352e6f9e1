#include "capture/copy_walk.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "capture/testing.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

using testing::open_dir;
using testing::Scratch;
using Lines = std::vector<std::string>;

Lines copy_lines(const CopyTrees& trees) {
    return testing::lines_of([&](const ChangeSink& sink) { return walk_copy(trees, sink); });
}

CopyReport must_copy(int base, int work, const std::vector<std::string>& excluded = {}) {
    auto report = make_copy(base, work, excluded, sys::effective_uid() == 0);
    if (!report) ADD_FAILURE() << report.error().message();
    return report ? *report : CopyReport{};
}

TEST(MakeCopy, IsFaithful) {
    Scratch s;
    s.prepare(
        "mkdir -p a/b ro; echo x > a/x; ln a/x a/b/linked; ln -s /etc/passwd abs; ln -s nowhere dangling; "
        "mkfifo p; "
        "echo s > suid; chmod 4755 suid; echo r > ro/r; chmod 444 ro/r; chmod 555 ro; "
        "printf x > \"$(printf 'a\\377\\nb')\"; truncate -s 1M hole; echo end >> hole");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    ASSERT_TRUE(sys::set_xattr_at(base.get(), "suid", "user.note", "kept") || true);
    EXPECT_TRUE(must_copy(base.get(), work.get()).skipped.empty());
    EXPECT_EQ(testing::dump_tree(s.at("work")), testing::dump_tree(s.project()));
    struct ::statx one{};
    struct ::statx two{};
    ASSERT_TRUE(sys::stat_entry(work.get(), "a/x", one).value_or(false));
    ASSERT_TRUE(sys::stat_entry(work.get(), "a/b/linked", two).value_or(false));
    EXPECT_EQ(one.stx_ino, two.stx_ino);
    ASSERT_TRUE(sys::stat_entry(work.get(), "hole", one).value_or(false));
    EXPECT_LT(one.stx_blocks * 512, 1u << 20);
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get()}), Lines{});
}

TEST(MakeCopy, LeavesOutSocketsAndWhatIsExcluded) {
    Scratch s;
    s.prepare("mkdir -p cache/deep keep; : > cache/deep/f; : > keep/f");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    ASSERT_TRUE(sys::make_socket_at(base.get(), "sock").has_value());
    auto report = must_copy(base.get(), work.get(), {"cache"});
    EXPECT_EQ(report.skipped, std::vector<std::string>{"sock"});
    EXPECT_EQ(testing::lines_of([&](const ChangeSink& sink) {
                  return walk_copy({.work = base.get(), .base = work.get()}, sink);
              }),
              (Lines{"create directory cache", "create directory cache/deep", "create file cache/deep/f",
                     "create socket sock"}));
    report.skipped.push_back("cache");
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get(), .excluded = report.skipped}), Lines{});
}

TEST(MakeCopy, ReportsWhatMayNotBeRead) {
    if (sys::effective_uid() == 0) GTEST_SKIP() << "root may read everything";
    Scratch s;
    s.prepare("mkdir locked; : > locked/f; echo x > secret");
    testing::shell(s.project(), "chmod 0 locked secret");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    const auto report = must_copy(base.get(), work.get());
    EXPECT_EQ(report.skipped.size(), 2u);
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get(), .excluded = report.skipped}), Lines{});
}

TEST(MakeCopy, WorksAcrossFileSystems) {
    Scratch s("/dev/shm");
    s.prepare("mkdir d; head -c 300000 /dev/urandom > d/big; ln -s x l");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.before());
    must_copy(base.get(), work.get());
    EXPECT_EQ(testing::dump_tree(s.before()), testing::dump_tree(s.project()));
}

TEST(WalkCopy, ReportsEveryKind) {
    Scratch s;
    s.prepare(
        "mkdir -p d/sub gone/deep swap mode; for f in same chmod touch edit dead; do echo $f > $f; done; "
        "echo y > gone/deep/y; echo w > swap/w; ln -s a link; echo t > todir");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    must_copy(base.get(), work.get());
    testing::shell(
        s.at("work"),
        "chmod +x chmod; touch touch; echo m >> edit; rm dead; rm -r gone swap; echo s > swap; "
        "echo n > d/sub/n; ln -sfn b link; chmod 700 mode; rm todir; mkdir todir; echo z > todir/z");
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get()}),
              (Lines{"create file d/sub/n", "create file todir/z", "delete directory gone",
                     "delete directory gone/deep", "delete file dead", "delete file gone/deep/y",
                     "delete file swap/w", "modify directory mode", "modify file chmod", "modify file edit",
                     "modify file touch", "modify symlink link -> b", "type_change directory todir",
                     "type_change file swap"}));
}

TEST(WalkCopy, WhatSomebodyElseDidToTheBaseIsNoChange) {
    Scratch s;
    s.prepare("mkdir d; echo a > a; echo b > b; echo c > d/c");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    must_copy(base.get(), work.get());
    const auto copied_at = sys::stamp_now(open_dir(s.at("upper")).get());
    ASSERT_TRUE(copied_at.has_value());
    testing::shell(s.project(), "echo more >> a; rm b; rm -r d");
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get(), .copied_at_ns = *copied_at}), Lines{});
    testing::shell(s.at("work"), "echo mine > a");
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get(), .copied_at_ns = *copied_at}),
              Lines{"modify file a"});
}

// A rename leaves the times of what is inside as they were.
TEST(WalkCopy, NamesWhatIsInAMovedDirectory) {
    Scratch s;
    s.prepare("mkdir -p d/sub same; echo x > d/f; echo y > d/sub/g; echo z > same/h");
    const auto base = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    must_copy(base.get(), work.get());
    const auto last = sys::stat_at(work.get(), "d").value().value();
    std::int64_t copied = 0;
    do copied = sys::stamp_now(work.get()).value();
    while (copied <= sys::to_ns(last.stx_ctime));
    testing::shell(s.at("work"), "mv d moved");
    EXPECT_EQ(copy_lines({.work = work.get(), .base = base.get(), .copied_at_ns = copied}),
              (Lines{"create directory moved", "create directory moved/sub", "create file moved/f",
                     "create file moved/sub/g", "delete directory d", "delete directory d/sub",
                     "delete file d/f", "delete file d/sub/g"}));
}

}  // namespace
}  // namespace substrate::capture
