#include <fcntl.h>

#include "capture/apply.hpp"
#include "capture/testing.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

using testing::dump_tree;
using testing::open_dir;
using testing::Scratch;

constexpr const char* kProject =
    "mkdir -p d/e f; for n in a b c d/one d/two d/e/three f/x; do echo $n > $n; done; ln -s a l";

// What `in_world` changed conflicts with what `on_host` did meanwhile.
std::vector<std::string> conflicts(const std::string& in_world, const std::string& on_host,
                                   std::vector<std::string> only = {}) {
    Scratch s;
    s.prepare(kProject);
    const auto since = sys::stamp_now(open_dir(s.at("merged")).get());
    if (!since) return {"!" + since.error().message()};
    s.run(in_world);
    testing::shell(s.project(), on_host);
    const std::string was = dump_tree(s.project());
    const auto project = open_dir(s.project());
    const auto before = open_dir(s.before());
    const auto report = apply_changes({.project = project.get(),
                                       .source = s.layers(),
                                       .movable = true,
                                       .unchanged_since_ns = *since,
                                       .before_dir = before.get(),
                                       .only = std::move(only)});
    if (!report) return {"!" + report.error().message()};
    std::vector<std::string> lines;
    for (const auto& c : report->conflicts) lines.push_back(c.path + ": " + c.reason);
    EXPECT_EQ(lines.size(), report->conflict_count);
    EXPECT_EQ(report->outcome, lines.empty() ? ApplyOutcome::applied : ApplyOutcome::conflicts)
        << report->failure;
    if (!lines.empty()) {
        EXPECT_EQ(dump_tree(s.project()), was);
        EXPECT_EQ(dump_tree(s.before()), "");
    }
    return lines;
}

using Lines = std::vector<std::string>;

TEST(ApplyConflict, NothingHappenedOnTheHost) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("echo 1 >> a; rm b; mkdir n; rm -r d; mv c cc", ":"), Lines{});
}

TEST(ApplyConflict, TheHostsFileWasEdited) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("echo 1 >> a", "echo 2 >> a"), (Lines{"a: was changed on the host"}));
    EXPECT_EQ(conflicts("echo 1 >> a", "echo 2 > t; mv t a"), (Lines{"a: was changed on the host"}));
    EXPECT_EQ(conflicts("echo 1 >> a", "chmod 600 a"), (Lines{"a: was changed on the host"}));
    EXPECT_EQ(conflicts("echo 1 >> a", "echo 2 >> b; touch f/new"), Lines{});
}

TEST(ApplyConflict, TheFileThatWasRemovedWasEdited) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("rm a", "echo 2 >> a"), (Lines{"a: was changed on the host"}));
    EXPECT_EQ(conflicts("mv a aa", "echo 2 >> a"), (Lines{"a: was changed on the host"}));
    EXPECT_EQ(conflicts("rm -r d", "echo 2 >> d/e/three"), (Lines{"d/e/three: was changed on the host"}));
    EXPECT_EQ(conflicts("rm -r d", "echo 2 > d/e/new"), (Lines{"d/e/new: was changed on the host"}));
}

TEST(ApplyConflict, ARemovalOfWhatIsGoneIsNone) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("rm a; rm -r f", "rm a; rm -r f"), Lines{});
    EXPECT_EQ(conflicts("rm d/e/three", "rm -r d/e; touch -d 2020-01-01 d"),
              (Lines{"d/e: was removed on the host"}));
}

TEST(ApplyConflict, TheHostsFileWasRemoved) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("echo 1 >> a", "rm a"), (Lines{"a: was removed on the host"}));
    EXPECT_EQ(conflicts("echo 1 >> a; mv b bb", "rm a"), (Lines{"a: was removed on the host"}));
    EXPECT_EQ(conflicts("echo 1 >> d/one", "rm -r d"), (Lines{"d: was removed on the host"}));
    EXPECT_EQ(conflicts("ln b bb; echo 2 >> b", ":"), Lines{});
    EXPECT_EQ(conflicts("mv b bb; echo 2 >> bb", ":"), Lines{});
}

TEST(ApplyConflict, BothCreatedThePath) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("echo 1 > new", "echo 22 > new"), (Lines{"new: was changed on the host"}));
    EXPECT_EQ(conflicts("mkdir new; echo 1 > new/a", "mkdir new; echo 2 > new/b"), Lines{});
    EXPECT_EQ(conflicts("mkdir new; echo 1 > new/a", "mkdir new; echo 22 > new/a"),
              (Lines{"new/a: was changed on the host"}));
    EXPECT_EQ(conflicts("echo 1 > new", "mkdir new"), Lines{"new: was changed on the host"});
}

TEST(ApplyConflict, ADirectorysOwnMetadata) {
    SKIP_WITHOUT_OVERLAY();
    EXPECT_EQ(conflicts("chmod 700 d", "echo x > d/new"), Lines{});
    EXPECT_EQ(conflicts("chmod 700 d", "chmod 711 d"), (Lines{"d: was changed on the host"}));
}

TEST(ApplyConflict, ALinkPlantedForADirectory) {
    SKIP_WITHOUT_OVERLAY();
    const testing::TempDir victim;
    EXPECT_EQ(conflicts("echo evil > d/e/file", "mv d real; ln -s " + victim.path() + " d"),
              (Lines{"d: was changed on the host"}));
    EXPECT_EQ(conflicts("echo evil > d/e/file", "mv d real; ln -s " + victim.path() + " d", {"d/e"}),
              (Lines{"d/e: a directory above it is a link or no directory on the host"}));
    EXPECT_EQ(conflicts("rm d/one", "mv d real; mkdir " + victim.path() + "/x; ln -s " + victim.path() + " d",
                        {"d/one"}),
              Lines{});
    EXPECT_EQ(dump_tree(victim.path()).find("file"), std::string::npos);
}

TEST(ApplyConflict, TheListIsBounded) {
    SKIP_WITHOUT_OVERLAY();
    Scratch s;
    s.prepare("seq 1 150 | xargs touch");
    s.run("for i in $(seq 1 150); do echo x > $i; done");
    testing::shell(s.project(), "for i in $(seq 1 150); do echo yy > $i; done");
    const auto project = open_dir(s.project());
    const auto before = open_dir(s.before());
    const auto report = apply_changes({.project = project.get(),
                                       .source = s.layers(),
                                       .unchanged_since_ns = 1,
                                       .before_dir = before.get()});
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->conflicts.size(), kMaxListedConflicts);
    EXPECT_EQ(report->conflict_count, 150u);
}

}  // namespace
}  // namespace substrate::capture
