#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

using namespace test_support;

TEST_F(WorldTest, RunsCommandsAndCapturesTheirWrites) {
    const plan::WorldPlan plan = make_plan();
    auto world = World::launch(plan, {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    const Run first = run(*world, "echo hello; echo data > file; exit 3", world_ + "/slots/0");
    EXPECT_EQ(first.output, "hello\n");
    EXPECT_EQ(first.exit, 3);
    EXPECT_FALSE(first.exited.background);
    EXPECT_EQ(sys::read_file(base_ + "/store/" + world_ + "/slots/0/upper/file").value(), "data\n");
    EXPECT_FALSE(sys::stat_at(AT_FDCWD, (base_ + "/project/file").c_str()).value()) << "reached the host";
    // The next command gets a fresh mount: it sees the host's tree as it is now.
    ASSERT_TRUE(sys::replace_file(base_ + "/project/edited", "by hand\n", 0644));
    EXPECT_EQ(run(*world, "cat edited; test ! -e file", make_slot("1")).output, "by hand\n");
}

// The mount stays while nothing changes in it, and knows nothing of before.
TEST_F(WorldTest, ACommandSeesWhatTheHostHasDoneSinceTheLast) {
    const std::string project = base_ + "/project", slot = "/slots/0";
    for (const char* file : {"/replaced", "/edited", "/removed"})
        ASSERT_TRUE(sys::replace_file(project + file, "before\n", 0644));
    ASSERT_TRUE(sys::make_dirs(project + "/dir/old", 0755));
    auto world = World::launch(make_plan(), {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    const std::string look =
        "cat replaced edited removed 2>/dev/null; ls dir; exec 9<edited 8<dir; "
        "for n in new removed dir/old dir/new; do [[ -e $n ]] && echo $n; done";
    EXPECT_EQ(run(*world, look, world_ + slot).output, "before\nbefore\nbefore\nold\nremoved\ndir/old\n");
    // Each mount makes a directory there, changes it once, and takes it away in the end.
    const auto mounted_ns = [&] {
        const auto st = sys::stat_at(AT_FDCWD, (base_ + "/store/" + world_ + slot + "/work/work").c_str());
        return st && *st ? (*st)->stx_mtime.tv_sec * 1'000'000'000LL + (*st)->stx_mtime.tv_nsec : 0;
    };
    const auto resting_ns = mounted_ns();
    EXPECT_NE(resting_ns, 0);

    ASSERT_TRUE(sys::replace_file(project + "/replaced", "after\n", 0644));
    {
        const sys::UniqueFd edited(::open((project + "/edited").c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
        ASSERT_TRUE(sys::write_all(edited.get(), "longer than before\n"));
    }
    ASSERT_EQ(::unlink((project + "/removed").c_str()), 0);
    ASSERT_TRUE(sys::replace_file(project + "/new", "", 0644));
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, project + "/dir"));
    ASSERT_TRUE(sys::make_dirs(project + "/dir/new", 0755));
    EXPECT_EQ(run(*world, look, world_ + slot).output, "after\nlonger than before\nnew\nnew\ndir/new\n");
    EXPECT_EQ(mounted_ns(), resting_ns);

    // What an overlay remembers of its root, and what is no longer as it was, take another mount.
    ASSERT_EQ(::chmod((base_ + "/store/" + world_ + slot + "/upper").c_str(), 0700), 0);
    EXPECT_EQ(run(*world, "stat -c %a .", world_ + slot).output, "700\n");
    EXPECT_NE(mounted_ns(), resting_ns);
    EXPECT_EQ(run(*world, "rm new; ls", world_ + slot).output, "dir\nedited\nreplaced\n");
    EXPECT_EQ(run(*world, "ls", make_slot("1")).output, "dir\nedited\nnew\nreplaced\n");
}

TEST_F(WorldTest, ShowsNothingOfTheHostAndGivesNoPower) {
    auto world = World::launch(make_plan(), {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    const auto output = [&](const std::string& line) {
        const std::string slot = world_ + "/slots/0";
        return run(*world, line, slot).output;
    };
    EXPECT_EQ(output("hostname"), "substrate\n");
    // bash itself and, for group 0, which hidepid spares, the init; nothing of the host.
    EXPECT_LE(output("set -- /proc/[0-9]*; echo $#"), "2\n");
    EXPECT_EQ(output("grep -c Cap...:.0000000000000000 /proc/self/status"), "5\n");
    EXPECT_EQ(output("ls -A /sys /run/dbus 2>/dev/null | grep -c dbus"), "0\n");
    EXPECT_EQ(output("touch /usr/x /etc/x /x 2>&1 | grep -c 'Read-only\\|denied'"), "3\n");
    EXPECT_EQ(output("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '"), "lo\n");
    EXPECT_EQ(output("ls /proc/self/fd | tr '\\n' ' '"), "0 1 2 3 ");
    EXPECT_EQ(output("unshare -r true 2>&1; mount -t tmpfs x /tmp 2>&1 | grep -c denied"),
              "unshare: unshare failed: Operation not permitted\n1\n");
    EXPECT_EQ(output("cat /proc/1/environ 2>&1 | grep -c denied; kill -9 1; echo $?"), "1\n0\n");
}

TEST_F(WorldTest, OtherCapturesWorkToo) {
    for (const CaptureStrategy strategy : {CaptureStrategy::direct, CaptureStrategy::copy_diff}) {
        auto world = World::launch(make_plan(strategy), {init_program(), &seccomp_});
        ASSERT_TRUE(world) << world.error().message();
        const std::string file = std::string("by-") + to_string(strategy);
        EXPECT_EQ(run(*world, "echo x > " + file + "; cat " + file, world_ + "/slots/0").output, "x\n");
        const std::string where =
            strategy == CaptureStrategy::direct ? "/project/" : "/store/" + world_ + "/slots/0/tree/";
        EXPECT_EQ(sys::read_file(base_ + where + file).value(), "x\n");
    }
    SUB_SKIP_WITHOUT("fuse", facts_.fuse.ok ? "" : "the probe says: " + facts_.fuse.reason);
    auto world = World::launch(make_plan(CaptureStrategy::fuse), {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    EXPECT_EQ(run(*world, "echo x > fused; cat fused", world_ + "/slots/0").output, "x\n");
    EXPECT_EQ(sys::read_file(base_ + "/store/" + world_ + "/slots/0/upper/fused").value(), "x\n");
}

TEST_F(WorldTest, BackgroundProcessesKeepTheCaptureUntilTheyEnd) {
    auto world = World::launch(make_plan(), {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    const Run first =
        run(*world, "mkfifo gate; (read line < gate; echo late > late) >/dev/null 2>&1 & echo started",
            world_ + "/slots/0");
    EXPECT_TRUE(first.exited.background);
    const Run second = run(*world, "echo > gate", make_slot("1"));
    EXPECT_EQ(second.exited.slot, world_ + "/slots/0") << "the live capture is kept";
    if (second.exited.background) {
        EXPECT_TRUE(std::holds_alternative<Quiet>(world->receive().value()));
    }
    EXPECT_EQ(sys::read_file(base_ + "/store/" + world_ + "/slots/0/upper/late").value(), "late\n");
}

TEST_F(WorldTest, AReplacedProjectIsRefused) {
    plan::WorldPlan plan = make_plan();
    plan.capture.project_inode += 1;
    auto world = World::launch(plan, {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().message();
    const auto ready = world->await_ready();
    ASSERT_FALSE(ready);
    EXPECT_NE(ready.error().message().find("was replaced"), std::string::npos) << ready.error().message();
}

}  // namespace
}  // namespace substrate::world
