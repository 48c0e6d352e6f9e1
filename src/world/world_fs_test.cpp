// What holds of a world's file system, and that it holds with either layer alone: each attack is
// first seen to succeed without both.
#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

using namespace test_support;

class WorldFsTest : public WorldTest {
  protected:
    void SetUp() override {
        WorldTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        SUB_SKIP_WITHOUT("landlock", facts_.landlock_abi >= 2 ? "" : "no usable Landlock");
        for (const char* name : {"/outside", "/project/src", "/project/build"})
            ASSERT_TRUE(sys::make_dirs(base_ + name, 0755));
    }
    plan::WorldPlan plan_with(FsAccess fs, bool single_use = false) {
        return make_plan(CaptureStrategy::overlay, [&](plan::WorldSpec& spec) {
            spec.fs = std::move(fs);
            spec.single_use = single_use;
        });
    }
    Run run_once(const plan::WorldPlan& plan, const std::string& line,
                 const SeccompProgram* seccomp = nullptr) {
        auto world = World::launch(plan, {init_program(), seccomp == nullptr ? &seccomp_ : seccomp});
        if (!world) ADD_FAILURE() << world.error().describe();
        if (!world) return {};
        return run(*world, line, world_ + "/slots/0");
    }
    // The host's directory beside the project, where a plan shows the rest of the host.
    void show_outside(plan::WorldPlan& plan, bool read_only) {
        plan.mounts.push_back({WorldPath("/outside"),
                               plan::Bind{.source = HostPath(base_ + "/outside"), .read_only = read_only}});
    }
};

TEST_F(WorldFsTest, NoWriteOutsideTheProjectByEitherLayerAlone) {
    const std::string attack =
        "exec 2>/dev/null; echo x >/outside/by-path; echo $?; ln -s /outside out; "
        "echo x >out/by-link; echo $?; mkdir /outside/dir; echo $?; touch x; "
        "mv x out/renamed; echo $?";
    const auto refusals = [&](bool mounts, bool landlock) {
        plan::WorldPlan plan = make_plan();
        show_outside(plan, /*read_only=*/mounts);
        if (!landlock) plan.landlock = {};
        const Run done = run_once(plan, attack);
        return done.output;
    };
    const std::string refused = "1\n1\n1\n1\n";
    EXPECT_EQ(refusals(true, true), refused);
    EXPECT_EQ(refusals(true, false), refused) << "the mounts alone";
    EXPECT_EQ(refusals(false, true), refused) << "Landlock alone";
    EXPECT_FALSE(sys::stat_at(AT_FDCWD, (base_ + "/outside/by-path").c_str()).value());
    EXPECT_EQ(refusals(false, false), "0\n0\n0\n0\n") << "the attack works";
    EXPECT_TRUE(sys::stat_at(AT_FDCWD, (base_ + "/outside/by-path").c_str()).value());
}

TEST_F(WorldFsTest, WhatABuildDoesStillWorks) {
    const Run done =
        run_once(make_plan(),
                 "set -e; mkdir -p a/b c; echo x >a/b/f; mv a/b/f c/g; ln c/g c/h; ln -s h c/i; mkfifo p; "
                 "echo longer >c/g; truncate -s 1 c/g; rm -r a; echo t >/tmp/t; mv /tmp/t t; "
                 "echo s >/dev/shm/s; echo n >/dev/null; cat <(echo sub); echo out >/dev/stdout; "
                 "exec 3<>/dev/ptmx; echo end >&2");
    EXPECT_EQ(done.exit, 0);
    EXPECT_EQ(done.output, "sub\nout\nend\n");
}

TEST_F(WorldFsTest, AStreamThatIsAFileCanBeOpenedAgain) {
    auto world = World::launch(make_plan(), {init_program(), &seccomp_});
    ASSERT_TRUE(world);
    const std::string path = base_ + "/home/out";
    const sys::UniqueFd out(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ExecOrder order;
    order.slot.path = world_ + "/slots/0";
    order.program = "/bin/bash";
    order.argv = {"bash", "-c", "echo again >>/dev/stdout && echo more >>/proc/self/fd/2"};
    order.environment = {"PATH=/usr/bin:/bin"};
    order.cwd = base_ + "/project";
    const sys::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(world->exec(order, {null.get(), out.get(), out.get()}));
    auto event = world->receive();
    if (event && std::holds_alternative<Ready>(*event)) event = world->receive();
    ASSERT_TRUE(event);
    ASSERT_TRUE(std::holds_alternative<Exited>(*event));
    EXPECT_EQ(std::get<Exited>(*event).wait_status, 0);
    EXPECT_EQ(sys::read_file(path).value(), "again\nmore\n");
}

TEST_F(WorldFsTest, AReadOnlyProjectIsOneByEveryPath) {
    for (const bool landlock : {true, false}) {
        plan::WorldPlan plan = plan_with({.mode = WorldFsMode::read_only, .project_writable = false});
        if (!landlock) plan.landlock = {};
        const Run done =
            run_once(plan, "echo x >file; echo x >" + base_ +
                               "/project/file; echo x >/proc/self/cwd/file; touch src; rmdir src; "
                               "mv src dst; ls; cd /tmp && touch works && echo tmp");
        EXPECT_EQ(done.exit, 0);
        EXPECT_TRUE(done.output.ends_with("build\nsrc\ntmp\n")) << done.output;
    }
}

TEST_F(WorldFsTest, PartsOfAReadOnlyProjectAreWritable) {
    const plan::WorldPlan plan = plan_with(
        {.project_writable = false, .writable = {base_ + "/project/build", base_ + "/project/new/dir"}});
    const Run done =
        run_once(plan,
                 "touch build/ok new/dir/ok && echo written; touch src/no; touch no; mv build x; "
                 "rm -r new; ln build/ok src/ok; ls src new/dir build");
    EXPECT_TRUE(done.output.starts_with("written\n")) << done.output;
    EXPECT_TRUE(done.output.ends_with("build:\nok\n\nnew/dir:\n\nsrc:\n") ||
                done.output.ends_with("build:\nok\n\nnew/dir:\nok\n\nsrc:\n"))
        << done.output;
}

TEST_F(WorldFsTest, FullIsolationNamesNoHostPath) {
    for (const bool landlock : {true, false}) {
        plan::WorldPlan plan = plan_with({.isolation = WorldFsIsolation::full,
                                          .project_writable = false,
                                          .writable = {base_ + "/project/build"}});
        if (!landlock) plan.landlock = {};
        const Run done =
            run_once(plan, "for d in /home /root /var/log /opt /srv " + base_ + "/outside " + base_ +
                               "/home; do [ -e $d ] && echo seen $d; done; cat /etc/shadow; "
                               "[ -d /project/src ] && [ -d " +
                               base_ +
                               "/project/src ] && echo both; touch /project/build/a && ls build; "
                               "touch /project/no; touch no; gcc --version >/dev/null 2>&1 || true; "
                               "ls /usr/bin/env; echo t >/tmp/t && cat /tmp/t");
        EXPECT_FALSE(done.output.contains("seen")) << done.output;
        EXPECT_TRUE(done.output.contains("both\na\n")) << done.output;
        EXPECT_TRUE(done.output.ends_with("/usr/bin/env\nt\n")) << done.output;
        EXPECT_FALSE(done.output.contains("root:")) << done.output;
    }
}

TEST_F(WorldFsTest, OnlySingleUseWorldsKeepSignalsFromThoseBeside) {
    if (facts_.landlock_abi < 6) GTEST_SKIP() << "Landlock scopes nothing before ABI 6";
    for (const bool single_use : {false, true}) {
        auto world = World::launch(plan_with({}, single_use), {init_program(), &seccomp_});
        ASSERT_TRUE(world);
        const Run first = run(*world, "sleep 1000 >/dev/null 2>&1 & echo $!", world_ + "/slots/0");
        ASSERT_TRUE(first.exited.background);
        const Run second = run(*world, "kill " + first.output, world_ + "/slots/0");
        EXPECT_EQ(second.exit, single_use ? 1 : 0) << second.output;
    }
}

TEST_F(WorldFsTest, NoDeviceNodesWithoutTheFilterEither) {
    SeccompProgram none;
    const Run done = run_once(make_plan(), "mknod c c 1 3; mknod w c 0 0; mknod /tmp/b b 7 0; ls", &none);
    EXPECT_TRUE(done.output.ends_with("build\nsrc\n")) << done.output;
}

}  // namespace
}  // namespace substrate::world
