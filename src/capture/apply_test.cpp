#include "capture/apply.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "capture/testing.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

using testing::dump_tree;
using testing::open_dir;
using testing::read_text;
using testing::Scratch;

constexpr const char* kProject =
    "mkdir -p d/sub gone/deep tofile mode ro; for f in same chmod touch edit dead todir; do echo $f > $f; "
    "done; "
    "echo x > d/sub/x; echo y > gone/deep/y; echo w > tofile/w; mkdir -p tofile/in; echo v > tofile/in/v; "
    "ln -s a link; ln -s b relink; mkfifo pipe; echo r > ro/r; chmod 555 ro; echo h > hard1; ln hard1 hard2; "
    "echo m > moved; mkdir re; echo 1 > re/1; echo 2 > re/2";
constexpr const char* kCommand =
    "echo n > d/sub/n; chmod 700 chmod; touch touch; echo more >> edit; rm dead; rm -r gone tofile; echo s > "
    "tofile; "
    "rm todir; mkdir -p todir/deep; echo z > todir/deep/z; ln -sfn c link; rm relink; mkfifo relink; rm "
    "pipe; "
    "mkdir -p fresh/a/b fresh/empty; echo 1 > fresh/a/b/1; ln fresh/a/b/1 fresh/2; ln -s /etc fresh/etc; "
    "chmod 700 mode; "
    "chmod 755 ro; echo r2 >> ro/r; echo n > ro/n; chmod 555 ro; echo hh > hard1; mv moved d/elsewhere; "
    "rm -r re; mkdir re; echo 3 > re/3; echo 11 > re/1; printf o > \"$(printf 'od\\377d\\nname')\"; "
    "mkdir locked; echo l > locked/l; chmod 500 locked";

std::int64_t long_ago() { return 0x7fffffffffffffff; }  // nothing counts as changed since

struct Applied {
    ApplyReport report;
    std::string error;
};

Applied apply(Scratch& s, bool movable, std::int64_t since = long_ago(), std::vector<std::string> only = {}) {
    const auto project = open_dir(s.project());
    const auto before = open_dir(s.before());
    auto report = apply_changes({.project = project.get(),
                                 .source = s.layers(),
                                 .movable = movable,
                                 .unchanged_since_ns = since,
                                 .before_dir = before.get(),
                                 .only = std::move(only),
                                 .keep_owner = sys::effective_uid() == 0});
    if (!report) return {{}, report.error().message()};
    return {*report, {}};
}

// Modes and contents, without times of directories.
std::string shape_of(const std::string& root) {
    std::string text;
    const auto fd = open_dir(root);
    for (const auto& line : testing::lines_of([&](const ChangeSink& sink) {
             const ChangeSink with_mode = [&](const Change& c) -> Result<> {
                 std::string path(c.path);
                 if (c.type == FileType::regular) path += "=" + read_text(root + "/" + path);
                 path += " " + std::to_string(c.after->stx_mode);
                 if (c.type != FileType::directory)
                     path += " " + std::to_string(sys::to_ns(c.after->stx_mtime));
                 Change named = c;
                 named.path = path;
                 return sink(named);
             };
             const testing::TempDir nothing;
             const auto base = open_dir(nothing.path());
             return walk_copy({.work = fd.get(), .base = base.get()}, with_mode);
         }))
        text += line + "\n";
    return text;
}

struct Case {
    const char* name;
    bool movable;
    bool elsewhere;  // the previous content is kept on another file system
};

class Apply : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(Ways, Apply,
                         ::testing::Values(Case{"Move", true, false}, Case{"Copy", false, false},
                                           Case{"MoveKeepElsewhere", true, true},
                                           Case{"CopyKeepElsewhere", false, true}),
                         [](const auto& way) { return std::string(way.param.name); });

TEST_P(Apply, BringsEveryChangeAndKeepsWhatWas) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare(kProject);
    const std::string was = dump_tree(s.project());
    s.run(kCommand);
    const std::string wanted = testing::in_overlay({s.project()}, s.at("upper"), s.at("work"), s.at("merged"),
                                                   [] { return shape_of("."); });
    const auto [report, error] = apply(s, GetParam().movable);
    ASSERT_EQ(error, "");
    EXPECT_EQ(report.outcome, ApplyOutcome::applied) << report.failure;
    EXPECT_EQ(report.conflict_count, 0u);
    EXPECT_TRUE(report.skipped.empty());
    EXPECT_GT(report.applied, 30u);
    EXPECT_EQ(shape_of(s.project()), wanted);
    EXPECT_EQ(s.view_of_before(), was);
    // Nothing of overlayfs reached the host.
    const auto project = open_dir(s.project());
    for (const char* name : {"d/elsewhere", "edit", "re", "fresh", "fresh/a", "todir"}) {
        const auto names = sys::list_xattrs_at(project.get(), name);
        ASSERT_TRUE(names.has_value());
        EXPECT_TRUE(names->empty()) << name << ' ' << names->front();
    }
}

TEST_P(Apply, AnUndoIsAnApplyOfWhatWasKept) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare(kProject);
    const std::string was = shape_of(s.project());
    s.run(kCommand);
    ASSERT_EQ(apply(s, GetParam().movable).report.outcome, ApplyOutcome::applied);
    const auto project = open_dir(s.project());
    const auto kept = open_dir(s.before());
    ASSERT_TRUE(sys::make_dirs(s.at("again"), 0700).has_value());
    const auto again = open_dir(s.at("again"));
    const auto undone =
        apply_changes({.project = project.get(),
                       .source = OverlayLayers{.upper = kept.get(), .lowers = {project.get()}},
                       .movable = GetParam().movable,
                       .unchanged_since_ns = long_ago(),
                       .before_dir = again.get(),
                       .keep_owner = sys::effective_uid() == 0});
    ASSERT_TRUE(undone.has_value()) << undone.error().message();
    EXPECT_EQ(undone->outcome, ApplyOutcome::applied) << undone->failure;
    EXPECT_EQ(shape_of(s.project()), was);
}

TEST_P(Apply, AnErrorMidwayRollsBack) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare(std::string(kProject) + "; mkdir zz; echo z > zz/z");
    s.run(std::string(kCommand) + "; rm -r zz");
    const std::string was = dump_tree(s.project());
    const std::string wanted = testing::in_overlay({s.project()}, s.at("upper"), s.at("work"), s.at("merged"),
                                                   [] { return shape_of("."); });
    const std::string answer =
        testing::in_overlay({s.project(), s.at("work")}, "", "", s.at("merged"), [&]() -> std::string {
            // A mount point can be neither moved nor removed.
            const std::string busy = s.project() + "/zz";
            if (::mount(busy.c_str(), busy.c_str(), nullptr, MS_BIND, nullptr) != 0) return "no bind mount";
            const auto [report, error] = apply(s, GetParam().movable);
            std::string text =
                std::to_string(static_cast<int>(report.outcome)) + " " + report.failure + error;
            for (const auto& note : report.unrestored) text += "; " + note.path + ": " + note.reason;
            return text;
        });
    EXPECT_TRUE(answer.starts_with("2 applying 'zz'")) << answer;
    EXPECT_EQ(dump_tree(s.project()), was);
    EXPECT_EQ(dump_tree(s.before()), "");
    // The capture is still whole.
    EXPECT_EQ(apply(s, GetParam().movable).report.outcome, ApplyOutcome::applied);
    EXPECT_EQ(shape_of(s.project()), wanted);
    EXPECT_EQ(s.view_of_before(), was);
}

TEST_P(Apply, OnlyWhatWasSelected) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare(kProject);
    const std::string was = dump_tree(s.project());
    s.run(kCommand);
    const auto [report, error] =
        apply(s, GetParam().movable, long_ago(), {"fresh/a/b/1", "gone/deep", "edit", "ro", "nothing"});
    EXPECT_EQ(report.outcome, ApplyOutcome::applied) << error << report.failure;
    EXPECT_EQ(read_text(s.project() + "/fresh/a/b/1"), "1\n");
    EXPECT_EQ(read_text(s.project() + "/edit"), "edit\nmore\n");
    EXPECT_EQ(read_text(s.project() + "/dead"), "dead\n");
    EXPECT_EQ(read_text(s.project() + "/ro/n"), "n\n");
    EXPECT_FALSE(sys::open_path(s.project() + "/fresh/empty", O_RDONLY).has_value());
    EXPECT_FALSE(sys::open_path(s.project() + "/gone/deep", O_RDONLY).has_value());
    EXPECT_TRUE(sys::open_path(s.project() + "/gone", O_RDONLY).has_value());
    EXPECT_EQ(s.view_of_before(), was);
}

TEST_P(Apply, StripsPrivileges) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare("echo a > a; mkdir d");
    s.run("chmod 6755 a; echo b > b; chmod 4755 b; mkdir n; echo c > n/c; chmod 4755 n/c; chmod 2755 n");
    ASSERT_EQ(apply(s, GetParam().movable).report.outcome, ApplyOutcome::applied);
    const auto project = open_dir(s.project());
    struct ::statx st{};
    for (const char* name : {"a", "b", "n/c"}) {
        ASSERT_TRUE(sys::stat_entry(project.get(), name, st).value_or(false));
        EXPECT_EQ(st.stx_mode & 07777, 0755) << name;
    }
    ASSERT_TRUE(sys::stat_entry(project.get(), "n", st).value_or(false));
    EXPECT_EQ(st.stx_mode & 07777, 02755);
}

TEST_P(Apply, RefusesDeviceNodes) {
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    if (::mknod(s.at("work/node").c_str(), S_IFCHR | 0600, makedev(1, 3)) != 0)
        GTEST_SKIP() << "only root of the first user namespace makes device nodes";
    s.prepare("echo a > a");
    testing::shell(s.at("upper"),
                   "mknod null c 1 3; mkdir n; mknod n/null c 1 3; mknod n/sda b 8 0; echo x > n/x; "
                   "mknod a c 1 3");
    const auto [report, error] = apply(s, GetParam().movable);
    EXPECT_EQ(report.outcome, ApplyOutcome::applied) << error << report.failure;
    EXPECT_EQ(report.skipped.size(), 4u);
    EXPECT_EQ(report.applied, 2u);
    EXPECT_EQ(read_text(s.project() + "/a"), "a\n");
    EXPECT_EQ(read_text(s.project() + "/n/x"), "x\n");
    const auto project = open_dir(s.project());
    struct ::statx st{};
    for (const char* name : {"null", "n/null", "n/sda"})
        EXPECT_FALSE(sys::stat_entry(project.get(), name, st).value_or(true)) << name;
}

TEST_P(Apply, HardLinksAmongNewFilesStayLinks) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s(GetParam().elsewhere ? "/dev/shm" : "");
    s.prepare("mkdir d");
    s.run("echo x > one; ln one two; ln one d/three");
    ASSERT_EQ(apply(s, GetParam().movable).report.outcome, ApplyOutcome::applied);
    const auto project = open_dir(s.project());
    struct ::statx st{};
    ASSERT_TRUE(sys::stat_entry(project.get(), "d/three", st).value_or(false));
    EXPECT_EQ(st.stx_nlink, 3u);
}

TEST(ApplyAcross, AnUpperOnAnotherFileSystemIsCopied) {
    Scratch s("/dev/shm");
    s.prepare("echo a > a; mkdir gone; echo g > gone/g");
    const auto upper = open_dir(s.before());
    ASSERT_TRUE(sys::make_dirs(s.at("kept"), 0700).has_value());
    testing::shell(s.before(),
                   "echo aa > a; touch -d 2021-01-01 a; mkdir -p n/m; echo x > n/m/x; ln n/m/x n/y");
    ASSERT_TRUE(sys::make_whiteout_at(upper.get(), "gone").has_value());
    const auto project = open_dir(s.project());
    const auto kept = open_dir(s.at("kept"));
    const auto report =
        apply_changes({.project = project.get(),
                       .source = OverlayLayers{.upper = upper.get(), .lowers = {project.get()}},
                       .movable = true,
                       .unchanged_since_ns = long_ago(),
                       .before_dir = kept.get()});
    ASSERT_TRUE(report.has_value()) << report.error().message();
    EXPECT_EQ(report->outcome, ApplyOutcome::applied) << report->failure;
    EXPECT_EQ(read_text(s.project() + "/a"), "aa\n");
    EXPECT_EQ(read_text(s.project() + "/n/y"), "x\n");
    EXPECT_FALSE(sys::open_path(s.project() + "/gone", O_RDONLY).has_value());
    EXPECT_EQ(read_text(s.at("kept/gone/g")), "g\n");
}

TEST(ApplyCopy, BringsTheChangesOfAWorkCopy) {
    Scratch s;
    s.prepare(kProject);
    const auto project = open_dir(s.project());
    const auto work = open_dir(s.at("work"));
    const bool root = sys::effective_uid() == 0;
    const auto copied = make_copy(project.get(), work.get(), {}, root);
    ASSERT_TRUE(copied.has_value());
    const std::string was = dump_tree(s.project());
    testing::shell(s.at("work"), kCommand);
    const std::string wanted = shape_of(s.at("work"));
    const auto before = open_dir(s.before());
    const auto report =
        apply_changes({.project = project.get(),
                       .source = CopyTrees{.work = work.get(), .base = project.get(), .compare_owner = root},
                       .movable = true,
                       .unchanged_since_ns = long_ago(),
                       .before_dir = before.get(),
                       .keep_owner = root});
    ASSERT_TRUE(report.has_value()) << report.error().message();
    EXPECT_EQ(report->outcome, ApplyOutcome::applied) << report->failure;
    EXPECT_EQ(shape_of(s.project()), wanted);
    if (!testing::overlay_problem().empty()) return;
    EXPECT_EQ(s.view_of_before(), was);
}

TEST(ApplyErrors, AReadOnlyHostIsLeftAsItWas) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("echo a > a; mkdir d; echo b > d/b");
    s.run("echo more >> a; echo c > d/c");
    const std::string was = dump_tree(s.project());
    // A read-only mount of the project, as root and as an ordinary user.
    const std::string answer =
        testing::in_overlay({s.project(), s.at("work")}, "", "", s.at("merged"), [&]() -> std::string {
            const auto project = open_dir(s.at("merged"));
            const auto before = open_dir(s.before());
            const auto report =
                apply_changes({.project = project.get(),
                               .source = OverlayLayers{.upper = open_dir(s.at("upper")).release(),
                                                       .lowers = {project.get()}},
                               .movable = true,
                               .unchanged_since_ns = long_ago(),
                               .before_dir = before.get()});
            if (!report) return report.error().message();
            return std::to_string(static_cast<int>(report->outcome)) + " " + report->failure;
        });
    EXPECT_EQ(answer.substr(0, 2), "2 ") << answer;
    EXPECT_NE(answer.find("applying 'a'"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Read-only file system"), std::string::npos) << answer;
    EXPECT_EQ(dump_tree(s.project()), was);
}

TEST(ApplyErrors, TheDirectoryForThePreviousContentMustBeEmpty) {
    Scratch s;
    testing::shell(s.before(), "touch x");
    EXPECT_NE(apply(s, true).error, "");
}

}  // namespace
}  // namespace substrate::capture
