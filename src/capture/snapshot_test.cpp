#include "capture/snapshot.hpp"

#include "capture/diff_builder.hpp"
#include "capture/testing.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

using testing::open_dir;
using testing::Scratch;
using Lines = std::vector<std::string>;

Lines changes_by(const Scratch& s, const std::string& script, std::vector<std::string> excluded = {}) {
    const auto root = open_dir(s.project());
    auto before = Snapshot::take(root.get(), std::move(excluded));
    if (!before) return {"!" + before.error().message()};
    testing::shell(s.project(), script);
    return testing::lines_of([&](const ChangeSink& sink) { return before->compare(root.get(), sink); });
}

TEST(Snapshot, ReportsEveryKind) {
    Scratch s;
    s.prepare(
        "mkdir -p d/sub gone/deep tofile mode; for f in same chmod touch edit dead; do echo $f > $f; done; "
        "echo y > gone/deep/y; echo w > tofile/w; ln -s a link; ln -s dangling l2; echo t > todir");
    EXPECT_EQ(
        changes_by(
            s,
            "echo n > d/sub/n; chmod +x chmod; touch touch; echo m >> edit; ln -sfn b link; chmod 700 mode; "
            "mkdir new; rm l2 dead; rm -r gone tofile; echo s > tofile; rm todir; mkdir todir"),
        (Lines{"create directory new", "create file d/sub/n", "delete directory gone",
               "delete directory gone/deep", "delete file dead", "delete file gone/deep/y",
               "delete file tofile/w", "delete symlink l2 -> dangling", "modify directory mode",
               "modify file chmod", "modify file edit", "modify file touch", "modify symlink link -> b",
               "type_change directory todir", "type_change file tofile"}));
}

TEST(Snapshot, AnUntouchedTreeHasNoChange) {
    Scratch s;
    s.prepare("mkdir -p a/b; echo x > a/x; ln -s x a/l; mkfifo p; printf x > \"$(printf 'a\\377\\nb')\"");
    EXPECT_EQ(changes_by(s, "cat a/x > /dev/null; ls -R > /dev/null"), Lines{});
}

TEST(Snapshot, SeesAContentThatWasPutUnderTheOldTime) {
    Scratch s;
    s.prepare("echo x > f");
    EXPECT_EQ(changes_by(s, "touch -r f ../ref; echo y > f; touch -r ../ref f"), (Lines{"modify file f"}));
}

TEST(Snapshot, RecognisesRenamesAlsoOfDirectories) {
    Scratch s;
    s.prepare("mkdir -p d/in e; echo x > d/in/x; echo f > f; echo g > g");
    EXPECT_EQ(changes_by(s, "mv d e/moved; mv f f2; ln g linked"),
              (Lines{"create file linked", "modify file g", "rename directory e/moved <- d",
                     "rename directory e/moved/in <- d/in", "rename file e/moved/in/x <- d/in/x",
                     "rename file f2 <- f"}));
}

TEST(Snapshot, AReusedInodeIsNoRename) {
    Scratch s;
    s.prepare("echo one > one");
    EXPECT_EQ(changes_by(s, "rm one; echo another > two"), (Lines{"create file two", "delete file one"}));
}

TEST(Snapshot, LeavesOutWhatIsExcluded) {
    Scratch s;
    s.prepare("mkdir -p cache d; echo a > cache/a");
    EXPECT_EQ(changes_by(s, "echo b > cache/b; rm cache/a; echo x > d/x", {"cache"}),
              (Lines{"create file d/x"}));
}

TEST(Snapshot, IsCompact) {
    Scratch s;
    s.prepare("for d in 1 2; do mkdir $d; (cd $d; seq 1 2000 | xargs touch); done");
    const auto root = open_dir(s.project());
    const auto before = Snapshot::take(root.get());
    ASSERT_TRUE(before.has_value());
    EXPECT_EQ(before->size(), 4'002u);
    EXPECT_LT(before->memory() / before->size(), 180u);
}

TEST(Snapshot, ARenameHashesLikeRemovalAndCreation) {
    Scratch s;
    s.prepare("echo one > one");
    const auto root = open_dir(s.project());
    const auto before = Snapshot::take(root.get());
    ASSERT_TRUE(before.has_value());
    testing::shell(s.project(), "mv one two");
    DiffBuilder renamed;
    DiffBuilder apart;
    ASSERT_TRUE(
        before
            ->compare(root.get(),
                      [&](const Change& c) -> Result<> {
                          EXPECT_EQ(c.kind, ChangeKind::rename);
                          SUB_TRY(renamed.add(c));
                          SUB_TRY(apart.add({.path = "two", .kind = ChangeKind::create, .after = c.after}));
                          return apart.add({.path = "one", .kind = ChangeKind::remove, .before = c.before});
                      })
            .has_value());
    EXPECT_EQ(renamed.finish().tree_hash, apart.finish().tree_hash);
}

}  // namespace
}  // namespace substrate::capture
