// What patterns open is all that is open, by every way there. Each attack is first seen to succeed where no
// rule narrows anything.
#include "base/path_pattern.hpp"
#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

using namespace test_support;

class PathRulesTest : public WorldTest {
  protected:
    void SetUp() override {
        WorldTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        SUB_SKIP_WITHOUT("path_guard", facts_.path_guard.ok ? "" : facts_.path_guard.reason);
        project_ = base_ + "/project";
        for (const char* name : {"/sub", "/dir", "/old.md"})
            ASSERT_TRUE(sys::make_dirs(project_ + name, 0755));
        write("/plain", "plain\n");
        write("/sub/plain", "plain\n");
        write("/a.md", "notes\n");
        write("/run.sh", "#!/bin/sh\nexit 66\n", 0755);
        const auto payload = sys::read_file(SUBSTRATE_TEST_PAYLOADS "/writes", 16u << 20);
        ASSERT_TRUE(payload) << payload.error().message();
        write("/writes", *payload, 0755);
    }
    void write(const std::string& name, const std::string& text, mode_t mode = 0644) {
        ASSERT_TRUE(sys::replace_file(project_ + name, text, mode));
    }
    // In a world whose rule for writing has these patterns below the project; none: no rule.
    Run run_with(const std::vector<std::string>& patterns, const std::string& line) {
        const plan::WorldPlan plan = make_plan(capture_, [&](plan::WorldSpec& spec) {
            if (patterns.empty()) return;
            FsRule rule{.below = {project_}, .patterns = {}};
            for (const std::string& pattern : patterns)
                rule.patterns.push_back(literal_pattern(project_) + "/" + pattern);
            spec.fs.write_rules = {rule};
        });
        auto world = World::launch(plan, {init_program(), &seccomp_});
        EXPECT_TRUE(world) << world.error().describe();
        return world ? run(*world, line, world_ + "/slots/0") : Run{};
    }
    void refused(const std::string& line) {
        const Run open = run_with({}, line);
        if (open.exit == kNotHere) return;
        EXPECT_EQ(open.exit, kSucceeded) << line << " succeeds without: " << open.output;
        const Run held = run_with({"**/*.md"}, line);
        EXPECT_EQ(held.exit, 0) << line << ": " << held.output;
    }
    static constexpr int kSucceeded = 66, kNotHere = 77;

    CaptureStrategy capture_ = CaptureStrategy::overlay;
    std::string project_;
};

TEST_F(PathRulesTest, NothingElseCanBeWritten) {
    for (const char* line : {"echo x >plain",
                             "echo x >>plain",
                             ": >new",
                             "rm plain",
                             "mv plain x.md",
                             "cp a.md plain",
                             "ln plain x.md && echo y >x.md",
                             "echo a >b.md && mv b.md b.c",
                             "echo a >b.md && mv -T b.md plain",
                             "chmod 600 plain",
                             "touch plain",
                             "truncate -s 0 plain",
                             "exec 3<plain; chmod 600 /proc/self/fd/3",
                             "exec 3<plain; echo x >/proc/self/fd/3",
                             "ln -s plain l.md && echo x >l.md",
                             "ln -s \"$PWD\" d.md && echo x >d.md/plain",
                             "mkdir d.md && mv sub d.md/",
                             "mv sub x.md",
                             "mv old.md other",
                             "ln -s x y",
                             "mkfifo p",
                             "mkdir d && echo x >d/f",
                             "echo x >sub/../plain",
                             "cp plain sub/n",
                             "cd sub && echo x >../plain",
                             "echo x >/proc/self/cwd/plain",
                             "echo x >/proc/$$/root\"$PWD\"/plain",
                             "rm -r sub",
                             "chmod 700 sub",
                             "cp -p a.md n",
                             "echo x >a.md/../plain 2>/dev/null || echo x >old.md/../plain",
                             "ln a.md b"})
        refused("{ " + std::string(line) + "; } 2>/dev/null && exit 66; exit 0");
}

TEST_F(PathRulesTest, NoDescriptorAndNoRaceGoesAround) {
    for (const char* way :
         {"mode", "owner", "times", "attribute", "no-attribute", "flags", "again", "again-cut", "link",
          "path-only", "path-only-mode", "temporary", "race-memory", "race-link"})
        refused("SUBSTRATE_WORLD_ID=test ./writes " + std::string(way));
}

TEST_F(PathRulesTest, WhatIsNamedCanBeWritten) {
    const std::string line =
        "set -e; echo 1 >a.md; cat a.md; mkdir -p n/m; echo 2 >n/m/b.md; mv n/m/b.md c.md; rmdir -p n/m; "
        "cp plain e.md; cat e.md; ln e.md f.md; ln -s plain g.md; cat g.md; chmod 600 c.md; touch c.md; "
        "exec 3<c.md; chmod 640 /proc/self/fd/3; stat -c %a c.md; truncate -s 1 c.md; mkdir x.md; "
        "echo any >x.md/any; mv x.md y.md; rm -r y.md; rm a.md e.md f.md g.md; cat plain sub/plain; "
        "echo t >/tmp/t; cat /tmp/t; cat <<<here; (exit 3) || echo ends; echo o >/dev/stdout; ls";
    const Run open = run_with({}, line);
    EXPECT_EQ(open.exit, 0) << open.output;
    const Run held = run_with({"**/*.md"}, line);
    EXPECT_EQ(held.exit, 0) << held.output;
    EXPECT_EQ(held.output, open.output);
}

TEST_F(PathRulesTest, ARuleHoldsWithEveryCapture) {
    for (const CaptureStrategy strategy :
         {CaptureStrategy::direct, CaptureStrategy::copy_diff, CaptureStrategy::fuse}) {
        if (strategy == CaptureStrategy::fuse && !facts_.fuse.ok) continue;
        capture_ = strategy;
        const Run held = run_with({"sub/**/*.c", "new/*"},
                                  "echo x >plain; mkdir new && echo x >new/f; echo x >sub/x.c; "
                                  "exec 3<sub; mv sub sub2; ls new sub");
        EXPECT_EQ(std::ranges::count(held.output, ':') > 3, true) << held.output;
        EXPECT_TRUE(held.output.contains("plain: Permission denied")) << held.output;
        EXPECT_TRUE(held.output.contains("x.c")) << held.output;
        EXPECT_TRUE(held.output.contains("\nf\n")) << held.output;
        EXPECT_FALSE(held.output.contains("sub2:\n")) << held.output;
    }
}

TEST_F(PathRulesTest, SeveralRulesHoldTogether) {
    const plan::WorldPlan plan = make_plan(capture_, [&](plan::WorldSpec& spec) {
        const std::string project = literal_pattern(project_);
        spec.fs.write_rules = {{{project_}, {project + "/**/*.md"}}, {{project_}, {project + "/sub"}}};
        spec.fs.denied = {project + "/sub/no*"};
    });
    auto world = World::launch(plan, {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().describe();
    const Run done =
        run(*world,
            "exec 2>/dev/null; echo 1 >sub/a.md; echo $?; echo 1 >a.md; echo $?; echo 1 >sub/plain; "
            "echo $?; echo 1 >sub/no.md; echo $?",
            world_ + "/slots/0");
    EXPECT_EQ(done.output, "0\n1\n1\n1\n");
}

// With full isolation: what a pattern shows is what can be read of the directory that it begins with.
TEST_F(PathRulesTest, OnlyWhatIsNamedCanBeRead) {
    const std::string data = base_ + "/data";
    for (const char* name : {"/one/include", "/two/include", "/two/secret"})
        ASSERT_TRUE(sys::make_dirs(data + name, 0755));
    for (const char* name : {"/one/include/x.h", "/two/include/y.h"})
        ASSERT_TRUE(sys::replace_file(data + name, "a header\n", 0644));
    for (const char* name : {"/file", "/two/secret/key", "/one/other"})
        ASSERT_TRUE(sys::replace_file(data + name, "the secret\n", 0644));
    ASSERT_TRUE(sys::replace_file(data + "/two/tool", "#!/bin/sh\necho the secret\n", 0755));
    ASSERT_EQ(::symlink("../../two/secret/key", (data + "/one/include/link.h").c_str()), 0);
    const auto run_in = [&](bool rule, const std::string& line) {
        const plan::WorldPlan plan = make_plan(capture_, [&](plan::WorldSpec& spec) {
            spec.fs.isolation = WorldFsIsolation::full;
            spec.fs.readable = {data};
            if (rule) spec.fs.read_rules = {{{data}, {literal_pattern(data) + "/*/include"}}};
        });
        auto world = World::launch(plan, {init_program(), &seccomp_});
        EXPECT_TRUE(world) << world.error().describe();
        return world ? run(*world, "cd " + data + "; " + line, world_ + "/slots/0") : Run{};
    };
    for (const char* attack :
         {"cat file", "cat two/secret/key", "cat one/other", "cat one/include/link.h", "cat one/../file",
          "exec 3<two; cat /proc/self/fd/3/secret/key", "two/tool", "cat <file", "cp file /tmp/x; cat /tmp/x",
          "cd two && cat secret/key", "cat /proc/self/cwd/file"}) {
        EXPECT_TRUE(run_in(false, attack).output.contains("the secret")) << attack;
        EXPECT_FALSE(run_in(true, attack).output.contains("the secret")) << attack;
    }
    EXPECT_EQ(run_in(true, "ls; ls two; cat */include/?.h").output,
              "file\none\ntwo\ninclude\nsecret\ntool\na header\na header\n");
    EXPECT_NE(run_in(true, "ls two/secret").exit, 0) << "not on the way to anything";
}

}  // namespace
}  // namespace substrate::world
