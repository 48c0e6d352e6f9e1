#include "policy/fs_access.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace substrate::policy {
namespace {

using Paths = std::vector<std::string>;

constexpr PatternValues kValues{.project = "/home/u/project", .home = "/home/u"};

Policy workspace(Paths write) {
    Policy policy;
    policy.fs.write = std::move(write);
    return policy;
}

Policy full(Paths write) {
    Policy policy;
    policy.world_fs.isolation = WorldFsIsolation::full;
    policy.world_fs.write_allowlist = std::move(write);
    return policy;
}

TEST(FsAccessOf, SaysNothingOfAPolicyThatSaysNothing) { EXPECT_EQ(fs_access_of({}, kValues), FsAccess{}); }

TEST(FsAccessOf, ExpandsPaths) {
    const FsAccess access =
        fs_access_of(workspace({"$PROJECT", "${HOME}/.cache/**", "~/x//y/", "rel", "/abs"}), kValues);
    EXPECT_EQ(access.writable,
              (Paths{"/abs", "/home/u/.cache", "/home/u/project", "/home/u/project/rel", "/home/u/x/y"}));
    EXPECT_TRUE(access.project_writable);
    EXPECT_EQ(access.unenforced, Paths{});
}

TEST(FsAccessOf, TheRootIsAPathToo) {
    for (const char* root : {"/", "/**", "/*"})
        EXPECT_EQ(fs_access_of(workspace({root}), kValues).writable, Paths{"/"}) << root;
    EXPECT_EQ(fs_access_of(workspace({"$PROJECT/**"}), kValues).writable, Paths{"/home/u/project"});
}

TEST(FsAccessOf, WhatAValueHoldsIsNoPattern) {
    const FsAccess access = fs_access_of(workspace({"$PROJECT", "~/.cache"}),
                                         {.project = "/tmp/esc\x1b[31m*", .home = "/home/[x]"});
    EXPECT_EQ(access.unenforced, Paths{});
    EXPECT_TRUE(access.project_writable);
    EXPECT_EQ(access.writable, (Paths{"/home/[x]/.cache", "/tmp/esc\x1b[31m*"}));
}

TEST(FsAccessOf, APolicyThatNamesNoProjectKeepsItReadOnly) {
    const FsAccess access = fs_access_of(workspace({"/tmp", "build"}), kValues);
    EXPECT_FALSE(access.project_writable);
    EXPECT_EQ(access.writable, (Paths{"/home/u/project/build", "/tmp"}));
}

TEST(FsAccessOf, SaysWhatItDoesNotEnforce) {
    Policy policy = workspace({"src/[.c", "../other"});
    policy.fs.read = {"$PROJECT"};
    policy.fs.deny = {"*.[pem", "../x/*", "$HOME/.ssh"};
    const FsAccess access = fs_access_of(policy, {.project = "/p", .home = ""});
    EXPECT_EQ(access.unenforced.size(), 6U) << "two to write, one to read, three denials";
    EXPECT_EQ(access.hidden, Paths{});
    EXPECT_EQ(access.denied, Paths{});
    EXPECT_TRUE(std::ranges::any_of(access.unenforced, [](const std::string& problem) {
        return problem.starts_with("fs.deny \"*.[pem\" ") && problem.contains("a bracket that does not end");
    }));
    EXPECT_FALSE(access.project_writable) << "what is not understood opens nothing";
}

TEST(FsAccessOf, APatternOpensTheDirectoryThatItBeginsWithUnderARule) {
    const FsAccess access =
        fs_access_of(workspace({"src/**/*.c", "build", "$PROJECT/doc/*/x", "/tmp", "build/*.o"}), kValues);
    EXPECT_EQ(access.unenforced, Paths{});
    EXPECT_FALSE(access.project_writable);
    EXPECT_EQ(access.writable,
              (Paths{"/home/u/project/build", "/home/u/project/doc", "/home/u/project/src", "/tmp"}));
    EXPECT_EQ(access.write_rules, (std::vector<FsRule>{{{"/home/u/project"},
                                                        {"/home/u/project/build", "/home/u/project/doc/*/x",
                                                         "/home/u/project/src/**/*.c"}}}));
    const FsAccess all = fs_access_of(workspace({"**/*.md"}), kValues);
    EXPECT_TRUE(all.project_writable) << "the rule holds the rest back";
    EXPECT_EQ(all.write_rules.size(), 1U);
    EXPECT_EQ(fs_access_of(workspace({"$PROJECT", "**/*.md"}), kValues).write_rules, std::vector<FsRule>{})
        << "it opens nothing more";
    const FsAccess isolated = fs_access_of(full({"out/*.log"}), kValues);
    EXPECT_EQ(isolated.writable, Paths{"/home/u/project/out"});
    EXPECT_EQ(isolated.write_rules.size(), 1U);
}

TEST(FsAccessOf, APatternThatWritesOutsideTheProjectOpensNothing) {
    const FsAccess access =
        fs_access_of(workspace({"$PROJECT", "~/.cache/*/tmp", "/**/x", "/home/u/proj*/y"}), kValues);
    EXPECT_EQ(access.writable, Paths{"/home/u/project"});
    EXPECT_EQ(access.write_rules, std::vector<FsRule>{});
    ASSERT_EQ(access.unenforced.size(), 3U);
    EXPECT_TRUE(access.unenforced[0].contains("outside the project only paths open something"))
        << access.unenforced[0];
}

TEST(FsAccessOf, APatternThatReadsOpensItsDirectoryUnderARule) {
    Policy policy = full({});
    policy.fs.read = {"/opt/*/include", "/srv/data"};
    policy.world_fs.read_allowlist = {"/opt/sdk", "src/*.c", "/home/*/x", "/**/y"};
    const FsAccess access = fs_access_of(policy, kValues);
    EXPECT_EQ(access.readable, (Paths{"/opt", "/opt/sdk", "/srv/data"}));
    EXPECT_EQ(access.read_rules, (std::vector<FsRule>{{{"/opt"}, {"/opt/*/include", "/opt/sdk"}}}));
    EXPECT_EQ(access.unenforced.size(), 2U) << "around the project, and of everything";
    policy.fs.read = {"/", "/opt/*/include"};
    EXPECT_EQ(fs_access_of(policy, kValues).readable, Paths{"/opt/sdk"})
        << "what reads all opens nothing more";
}

TEST(Both, EveryRuleHolds) {
    const FsAccess one = fs_access_of(workspace({"**/*.md"}), kValues);
    const FsAccess other = fs_access_of(workspace({"doc/*.md", "src"}), kValues);
    const FsAccess met = both(one, other, kValues.project);
    EXPECT_EQ(met.writable, (Paths{"/home/u/project/doc", "/home/u/project/src"}));
    EXPECT_FALSE(met.project_writable);
    EXPECT_EQ(met.write_rules.size(), 2U);
    EXPECT_EQ(both(one, one, kValues.project).write_rules, one.write_rules);
    EXPECT_EQ(both(one, fs_access_of({}, kValues), kValues.project).write_rules, one.write_rules);
}

TEST(FsAccessOf, TellsDeniedPathsFromPatterns) {
    Policy policy;
    policy.fs.deny = {"secrets", "**/.env", "$PROJECT/*.pem", "~/**/id_*", "/etc/**/*.key/**", "**/.env"};
    const FsAccess access = fs_access_of(policy, {.project = "/p/[x]", .home = "/h*"});
    EXPECT_EQ(access.unenforced, Paths{});
    EXPECT_EQ(access.hidden, Paths{"/p/[x]/secrets"});
    EXPECT_EQ(access.denied, (Paths{"/etc/**/*.key", "/h\\*/**/id_*", "/p/\\[x]/**/.env", "/p/\\[x]/*.pem"}));
}

TEST(Both, DenyWhatEitherDenies) {
    Policy one, other;
    one.fs.deny = {"a", "**/*.key"};
    other.fs.deny = {"b", "**/.env"};
    other.world_fs.require_world = true;
    const FsAccess met = both(fs_access_of(one, kValues), fs_access_of(other, kValues), kValues.project);
    EXPECT_EQ(met.hidden, (Paths{"/home/u/project/a", "/home/u/project/b"}));
    EXPECT_EQ(met.denied, (Paths{"/home/u/project/**/*.key", "/home/u/project/**/.env"}));
    EXPECT_TRUE(met.required);
}

TEST(FsAccessOf, ReadOnlyLeavesNothingWritable) {
    Policy policy = full({"build"});
    policy.world_fs.mode = WorldFsMode::read_only;
    const FsAccess access = fs_access_of(policy, kValues);
    EXPECT_FALSE(access.project_writable);
    EXPECT_EQ(access.writable, Paths{});
    policy.world_fs.write_allowlist = {"*.md"};
    EXPECT_EQ(fs_access_of(policy, kValues).write_rules, std::vector<FsRule>{});
}

TEST(NamedSockets, EachIsOneFullPath) {
    std::vector<std::string> problems;
    EXPECT_EQ(
        named_sockets({"/run/b.sock", "$HOME/a.sock", "~/a.sock", "/var/run/c.sock"}, kValues, problems),
        (Paths{"/home/u/a.sock", "/run/b.sock", "/run/c.sock"}));
    EXPECT_EQ(problems, Paths{});
    for (const char* wrong :
         {"a.sock", "./a.sock", "/run/*.sock", "/run/**", "/run/*", "/run/../etc/a", "", "*"}) {
        problems.clear();
        EXPECT_EQ(named_sockets({wrong}, kValues, problems), Paths{}) << wrong;
        EXPECT_EQ(problems.size(), 1U) << wrong;
    }
}

TEST(Both, PermitsWhatBothPermit) {
    const FsAccess wide = fs_access_of(workspace({"$PROJECT", "$HOME/.cache"}), kValues);
    const FsAccess narrow = fs_access_of(full({"build", "dist"}), kValues);
    for (const FsAccess& met : {both(wide, narrow, kValues.project), both(narrow, wide, kValues.project)}) {
        EXPECT_EQ(met.isolation, WorldFsIsolation::full);
        EXPECT_FALSE(met.project_writable);
        EXPECT_EQ(met.writable, (Paths{"/home/u/project/build", "/home/u/project/dist"}));
    }
    Policy read_only;
    read_only.world_fs.mode = WorldFsMode::read_only;
    const FsAccess none = both(wide, fs_access_of(read_only, kValues), kValues.project);
    EXPECT_EQ(none.mode, WorldFsMode::read_only);
    EXPECT_EQ(none.writable, Paths{});
    const FsAccess open = both(wide, fs_access_of({}, kValues), kValues.project);
    EXPECT_TRUE(open.project_writable);
    EXPECT_EQ(open.writable, Paths{"/home/u/project"}) << "the other opens no cache";
}

}  // namespace
}  // namespace substrate::policy
