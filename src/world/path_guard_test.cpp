// What a pattern denies stays so by every way there, and what is not denied is not disturbed. Each
// attack is first seen to succeed where nothing is denied.
#include <sys/xattr.h>

#include "base/path_pattern.hpp"
#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

using namespace test_support;

class PathGuardTest : public WorldTest {
  protected:
    void SetUp() override {
        WorldTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        SUB_SKIP_WITHOUT("path_guard", facts_.path_guard.ok ? "" : facts_.path_guard.reason);
        project_ = base_ + "/project";
        for (const char* name : {"/sub", "/vault"}) ASSERT_TRUE(sys::make_dirs(project_ + name, 0755));
        write("/.env", "the secret\n");
        write("/sub/.env", "the secret\n");
        write("/vault/s.txt", "the secret\n");
        write("/plain", "plain\n");
        write("/run.sh", "#!/bin/sh\nexit 66\n", 0755);
        ASSERT_EQ(::symlink("plain", (project_ + "/link.pem").c_str()), 0);
        const auto payload = sys::read_file(SUBSTRATE_TEST_PAYLOADS "/paths", 16u << 20);
        ASSERT_TRUE(payload) << payload.error().message();
        write("/paths", *payload, 0755);
    }
    void write(const std::string& name, const std::string& text, mode_t mode = 0644) {
        ASSERT_TRUE(sys::replace_file(project_ + name, text, mode));
    }
    // A world in which the patterns below the project are denied.
    Result<World> world_with(const std::vector<std::string>& patterns,
                             const std::vector<std::string>& paths = {},
                             const SeccompProgram* seccomp = nullptr) {
        const plan::WorldPlan plan = make_plan(capture_, [&](plan::WorldSpec& spec) {
            for (const std::string& pattern : patterns)
                spec.fs.denied.push_back(literal_pattern(project_) + "/" + pattern);
            for (const std::string& path : paths) spec.fs.hidden.push_back(project_ + "/" + path);
        });
        return World::launch(plan, {init_program(), seccomp == nullptr ? &seccomp_ : seccomp});
    }
    Run run_once(const std::vector<std::string>& patterns, const std::string& line,
                 const SeccompProgram* seccomp = nullptr) {
        auto world = world_with(patterns, {}, seccomp);
        EXPECT_TRUE(world) << world.error().describe();
        return world ? run(*world, line, world_ + "/slots/0") : Run{};
    }
    static std::string attack(const std::string& way) { return "SUBSTRATE_WORLD_ID=test ./paths " + way; }

    const std::vector<std::string> patterns_ = {"**/.env", "*.pem", "vault/*.txt", "run.s?"};
    CaptureStrategy capture_ = CaptureStrategy::overlay;
    std::string project_;
};

constexpr int kSucceeded = 66;

TEST_F(PathGuardTest, NoWayLeadsToWhatIsDenied) {
    for (const char* way : {"race-memory",
                            "race-link",
                            "path-only",
                            "path-only-link",
                            "path-only-owner",
                            "path-only-times",
                            "path-only-mode",
                            "dirfd",
                            "dirfd-up",
                            "openat2",
                            "openat2-root",
                            "openat2-beneath",
                            "openat2-path-only",
                            "task",
                            "vfork",
                            "execute",
                            "execute-descriptor",
                            "exchange",

                            "temporary",
                            "socket",
                            "times",
                            "length",
                            "target",
                            "create",
                            "directory",
                            "node"}) {
        const Run open = run_once({}, attack(way));
        if (open.exit == 77) continue;
        EXPECT_EQ(open.exit, kSucceeded) << way << " succeeds without: " << open.output;
        const Run guarded = run_once(patterns_, attack(way));
        EXPECT_EQ(guarded.exit, 0) << way << ": " << guarded.output;
    }
}

// An overlay cannot rename a directory of the layer below; the project itself can.
TEST_F(PathGuardTest, ADirectoryTakesNothingOutOfSight) {
    capture_ = CaptureStrategy::direct;
    const Run guarded = run_once(patterns_, attack("exchange-directory"));
    EXPECT_EQ(guarded.exit, 0) << guarded.output;
    const Run open = run_once({}, attack("exchange-directory"));
    EXPECT_EQ(open.exit, kSucceeded) << open.output;
}

TEST_F(PathGuardTest, ItHoldsWithEveryCapture) {
    for (const CaptureStrategy strategy : {CaptureStrategy::copy_diff, CaptureStrategy::fuse}) {
        if (strategy == CaptureStrategy::fuse && !facts_.fuse.ok) continue;
        capture_ = strategy;
        auto world = world_with(patterns_);
        ASSERT_TRUE(world);
        if (strategy == CaptureStrategy::copy_diff) {
            for (const char* name : {".env", "plain"})
                ASSERT_TRUE(sys::replace_file(base_ + "/store/" + world_ + "/slots/0/tree/" + name,
                                              "the secret\n", 0644));
        }
        const Run done = run(*world, "ln -s .env l; cat .env l; cp .env x; echo y >x.pem; echo works",
                             world_ + "/slots/0");
        EXPECT_FALSE(done.output.contains("the secret")) << done.output;
        EXPECT_TRUE(done.output.ends_with("x.pem: Permission denied\nworks\n")) << done.output;
    }
}

// The kernel cannot name what lies deeper than a path is long: nobody gets it.
TEST_F(PathGuardTest, WhatHasNoNameIsDenied) {
    const std::string dig =
        "exec 2>/dev/null; n=$(printf 'd%.0s' {1..200}); "
        "for i in {1..21}; do mkdir $n; cd $n || break; done; ";
    const std::string use =
        "echo 'the secret' >deep && cat deep; chmod 700 . && echo changed; exec 3<. && echo opened";
    EXPECT_EQ(run_once({}, dig + use).output, "the secret\nchanged\nopened\n");
    EXPECT_EQ(run_once(patterns_, dig + use).output, "");
}

TEST_F(PathGuardTest, ALowLimitOfDescriptorsIsTheCommandsOnly) {
    EXPECT_EQ(run_once(patterns_, "ulimit -Sn 6; cat plain").output, "plain\n");
}

TEST_F(PathGuardTest, ItHoldsWithoutTheOtherFilterToo) {
    const SeccompProgram none;
    for (const char* way :
         {"io-uring", "handle", "int80", "x32", "tree", "attributes", "namespace", "path-only"})
        for (const SeccompProgram* filter : {&none, &std::as_const(seccomp_)}) {
            const Run done = run_once(patterns_, attack(way), filter);
            EXPECT_EQ(done.exit, 0) << way << ": " << done.output;
        }
}

TEST_F(PathGuardTest, WhatProgramsRelyOnWorks) {
    for (const std::vector<std::string>& patterns : {std::vector<std::string>{}, patterns_}) {
        const Run done = run_once(patterns, attack("works"));
        EXPECT_EQ(done.exit, 0);
        EXPECT_EQ(done.output, "works\n");
    }
}

TEST_F(PathGuardTest, OnlyWhereItIsNeeded) {
    const std::string filters = "grep Seccomp_filters /proc/self/status";
    EXPECT_EQ(run_once({}, filters).output, "Seccomp_filters:\t1\n");
    EXPECT_EQ(run_once({"*.x"}, filters).output, "Seccomp_filters:\t2\n");
    for (const bool exists : {true, false}) {
        auto world = world_with({}, {exists ? "vault" : "later"});
        ASSERT_TRUE(world);
        EXPECT_EQ(run(*world, filters, world_ + "/slots/0").output,
                  exists ? "Seccomp_filters:\t1\n" : "Seccomp_filters:\t2\n");
    }
}

TEST_F(PathGuardTest, AMissingPathCannotBeMade) {
    auto world = world_with({}, {"later", "sub/later"});
    ASSERT_TRUE(world);
    const Run done =
        run(*world,
            "exec 2>/dev/null; echo x >later; echo $?; mkdir later; echo $?; mv sub other; echo $?; "
            "ln -s /tmp later; echo $?; cp plain sub/later; echo $?; ls",
            world_ + "/slots/0");
    EXPECT_EQ(done.output, "1\n1\n1\n1\n1\nlink.pem\npaths\nplain\nrun.sh\nsub\nvault\n");
}

TEST_F(PathGuardTest, TheFirstProgramIsJudgedToo) {
    auto world = world_with(patterns_);
    ASSERT_TRUE(world);
    const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ExecOrder order;
    order.slot.path = world_ + "/slots/0";
    order.cwd = project_;
    for (const std::string& program : {std::string("./run.sh"), project_ + "/run.sh"}) {
        order.program = program;
        order.argv = {"run.sh"};
        ASSERT_TRUE(world->exec(order, {null.get(), null.get(), null.get()}));
        auto event = world->receive();
        if (event && std::holds_alternative<Ready>(*event)) event = world->receive();
        ASSERT_TRUE(event) << event.error().message();
        ASSERT_TRUE(std::holds_alternative<Failed>(*event));
        EXPECT_EQ(std::get<Failed>(*event).os_errno, EACCES);
    }
    EXPECT_EQ(run(*world, "cat plain", world_ + "/slots/0").output, "plain\n") << "the world goes on";
}

TEST_F(PathGuardTest, GuardsEndWithThoseWhomTheyAnswer) {
    auto world = world_with(patterns_);
    ASSERT_TRUE(world);
    ASSERT_TRUE(sys::make_dirs(base_ + "/store/" + world_ + "/slots/0", 0755));
    Run done = run(*world, "mkfifo go; (read -r x <go; cat .env; cat plain) >late 2>&1 & echo started",
                   world_ + "/slots/0");
    EXPECT_EQ(done.output, "started\n");
    EXPECT_TRUE(done.exited.background);
    done = run(*world, "echo >go; while ! grep -qs plain late; do :; done; cat late; cat .env",
               world_ + "/slots/0");
    EXPECT_TRUE(done.output.contains("plain")) << done.output;
    EXPECT_FALSE(done.output.contains("the secret")) << done.output;
    if (done.exited.background) {
        const auto event = world->receive();
        ASSERT_TRUE(event);
        EXPECT_TRUE(std::holds_alternative<Quiet>(*event));
    }
}

TEST_F(PathGuardTest, TheCommandAnswersToNobodyElse) {
    const Run done = run_once(
        patterns_,
        "for p in /proc/[0-9]*; do case $p in */$$|*/1) ;; *) cat $p/comm ;; esac; done "
        "2>/dev/null | grep guard; cat /proc/self/fd/99 2>&1 | grep -c such; ls /proc/self/fd | wc -l");
    EXPECT_EQ(done.output, "1\n4\n") << "no guard is seen, and nothing of its descriptors";
}

}  // namespace
}  // namespace substrate::world
