#include "world/cgroup_ground.hpp"

#include <gtest/gtest.h>

namespace substrate::world {
namespace {

// Debian 12, a terminal of a desktop session.
constexpr const char* kPureV2Mounts =
    "22 29 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
    "29 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "31 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 "
    "rw,nsdelegate,memory_recursiveprot\n";

constexpr const char* kHybridMounts =
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "42 31 0:39 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

// Ubuntu 18.04 with systemd.unified_cgroup_hierarchy=0: several controllers in one hierarchy.
constexpr const char* kPureV1Mounts =
    "32 25 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755\n"
    "34 32 0:29 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd\n"
    "38 32 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:16 - cgroup cgroup rw,cpu,cpuacct\n"
    "40 32 0:35 / /sys/fs/cgroup/memory rw,nosuid shared:18 - cgroup cgroup rw,memory\n"
    "41 32 0:36 / /sys/fs/cgroup/pids rw,nosuid shared:19 - cgroup cgroup rw,pids\n";

std::string directory_of(const std::optional<CgroupPlace>& place) {
    return place ? place->directory : "absent";
}

TEST(CgroupGround, PureV2BelowSystemd) {
    const auto ground = locate_cgroups(
        kPureV2Mounts, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n");
    EXPECT_EQ(directory_of(ground.unified),
              "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope");
    EXPECT_FALSE(ground.unified->read_only);
    for (const auto& place : ground.v1) EXPECT_EQ(place, std::nullopt);
}

TEST(CgroupGround, HybridWithControllersInV1) {
    const auto ground =
        locate_cgroups(kHybridMounts,
                       "9:name=systemd:/\n8:pids:/\n7:blkio:/w\n6:freezer:/\n4:memory:/jobs/7f\n"
                       "3:cpuset:/\n2:cpuacct:/\n1:cpu:/\n0::/\n");
    EXPECT_EQ(directory_of(ground.unified), "/sys/fs/cgroup/unified");
    EXPECT_EQ(directory_of(ground.of(CgroupController::cpu)), "/sys/fs/cgroup/cpu");
    EXPECT_EQ(directory_of(ground.of(CgroupController::memory)), "/sys/fs/cgroup/memory/jobs/7f");
    EXPECT_EQ(directory_of(ground.of(CgroupController::pids)), "/sys/fs/cgroup/pids");
    EXPECT_EQ(directory_of(ground.of(CgroupController::freezer)), "/sys/fs/cgroup/freezer");
    EXPECT_EQ(directory_of(ground.of(CgroupController::io)), "/sys/fs/cgroup/blkio/w");
}

TEST(CgroupGround, PureV1WithSharedHierarchies) {
    // A kernel with both versions lists the unified hierarchy even where nobody mounts it.
    const auto ground = locate_cgroups(kPureV1Mounts,
                                       "11:memory:/user.slice\n5:pids:/user.slice/user-1000.slice\n"
                                       "2:cpu,cpuacct:/user.slice\n1:name=systemd:/user.slice\n0::/x\n");
    EXPECT_EQ(ground.unified, std::nullopt);
    EXPECT_EQ(directory_of(ground.of(CgroupController::cpu)), "/sys/fs/cgroup/cpu,cpuacct/user.slice");
    EXPECT_EQ(directory_of(ground.of(CgroupController::memory)), "/sys/fs/cgroup/memory/user.slice");
    EXPECT_EQ(directory_of(ground.of(CgroupController::pids)),
              "/sys/fs/cgroup/pids/user.slice/user-1000.slice");
    EXPECT_EQ(ground.of(CgroupController::freezer), std::nullopt);
}

TEST(CgroupGround, NoCgroups) {
    EXPECT_EQ(locate_cgroups("29 1 254:1 / / rw - ext4 /dev/vda1 rw\n", ""), CgroupGround{});
    EXPECT_EQ(locate_cgroups("", ""), CgroupGround{});
}

TEST(CgroupGround, AHierarchyThatNobodyMounts) {
    const auto ground = locate_cgroups(kPureV2Mounts, "3:memory:/a\n0::/a\n");
    ASSERT_TRUE(ground.of(CgroupController::memory));
    EXPECT_EQ(ground.of(CgroupController::memory)->directory, "");
    EXPECT_EQ(ground.of(CgroupController::memory)->problem, "its hierarchy is not mounted");
    EXPECT_EQ(directory_of(ground.unified), "/sys/fs/cgroup/a");
}

TEST(CgroupGround, CgroupNamespace) {
    // Docker on v2: private cgroup namespace, mounted read-only inside it.
    const char* mounts =
        "733 732 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate\n";
    const auto inside = locate_cgroups(mounts, "0::/\n");
    EXPECT_EQ(directory_of(inside.unified), "/sys/fs/cgroup");
    EXPECT_TRUE(inside.unified->read_only);
    // In a new namespace with the old mount, and moved out of the namespace's root.
    for (const auto& [root, group] : {std::pair{"/../..", "/"}, {"/", "/../other"}}) {
        const auto outside =
            locate_cgroups("31 22 0:26 " + std::string(root) + " /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
                           "0::" + std::string(group) + "\n");
        ASSERT_TRUE(outside.unified);
        EXPECT_EQ(outside.unified->directory, "") << root;
        EXPECT_EQ(outside.unified->problem, "no mount shows our group '" + std::string(group) + "'");
    }
}

TEST(CgroupGround, BindMountedSubtrees) {
    // Docker on v1 without a cgroup namespace: each mount shows the container's group only.
    const auto ground = locate_cgroups(
        "61 60 0:35 /docker/ab /sys/fs/cgroup/memory ro,nosuid master:18 - cgroup cgroup rw,memory\n"
        "62 60 0:36 /docker/abc /sys/fs/cgroup/pids rw,nosuid master:19 - cgroup cgroup rw,pids\n",
        "11:memory:/docker/ab/inner\n5:pids:/docker/ab\n");
    EXPECT_EQ(directory_of(ground.of(CgroupController::memory)), "/sys/fs/cgroup/memory/inner");
    EXPECT_TRUE(ground.of(CgroupController::memory)->read_only);
    // "/docker/abc" is a neighbour, though its name begins like ours.
    EXPECT_EQ(directory_of(ground.of(CgroupController::pids)), "");
}

TEST(CgroupGround, AWritableMountIsPreferred) {
    const std::string ro = "31 22 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
    const std::string rw = "32 22 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n";
    for (const std::string& mounts : {ro + rw, rw + ro}) {
        const auto ground = locate_cgroups(mounts, "0::/a\n");
        EXPECT_EQ(directory_of(ground.unified), "/my groups/a");
        EXPECT_FALSE(ground.unified->read_only);
    }
}

TEST(CgroupGround, MountsBelowOthersAreNotSeen) {
    const std::string below = kPureV2Mounts;  // cgroup2 is 31, on 22, on 29
    for (const char* covering : {
             "50 31 0:40 / /sys/fs/cgroup rw - tmpfs cg rw\n",  // on top of it
             "50 22 0:40 / /sys/fs rw - tmpfs cg rw\n",         // over its parent directory
             "50 22 0:40 / /sys rw - tmpfs cg rw\n",            // on what it is mounted on
             "50 29 0:40 / / rw - tmpfs cg rw\n",               // over everything
         }) {
        const auto ground = locate_cgroups(below + covering, "4:memory:/\n0::/a\n");
        EXPECT_EQ(ground.unified, std::nullopt) << covering;
        // What is mounted on the cover is seen.
        const auto onto = locate_cgroups(
            below + covering + "51 50 0:41 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n",
            "4:memory:/\n");
        EXPECT_EQ(directory_of(onto.of(CgroupController::memory)), "/sys/fs/cgroup/memory") << covering;
    }
    for (const char* harmless : {
             "50 31 0:40 / /sys/fs/cgroup/x rw - tmpfs cg rw\n",
             "50 22 0:40 / /sys/fs/cgroup2 rw - tmpfs cg rw\n",
             "50 29 0:40 / /sys/fs rw - tmpfs cg rw\n",  // itself hidden, by /sys
             "22 22 0:40 / /sys/fs rw - tmpfs cg rw\n",  // a circle, which no kernel writes
         })
        EXPECT_EQ(directory_of(locate_cgroups(below + harmless, "0::/a\n").unified), "/sys/fs/cgroup/a")
            << harmless;
}

TEST(CgroupGround, AProcessThatHasSteppedAside) {
    EXPECT_EQ(directory_of(locate_cgroups(kPureV2Mounts, "0::/u.scope/substrate/agent\n").unified),
              "/sys/fs/cgroup/u.scope");
    EXPECT_EQ(directory_of(locate_cgroups(kPureV2Mounts, "0::/substrate/agent\n").unified), "/sys/fs/cgroup");
    EXPECT_EQ(directory_of(locate_cgroups(kPureV2Mounts, "0::/u/notsubstrate/agent\n").unified),
              "/sys/fs/cgroup/u/notsubstrate/agent");
}

TEST(CgroupGround, TextThatIsNotWhatItShouldBe) {
    for (const char* text : {"-", "a b c", "31 22 0:26 / /x rw - cgroup2", "::", "0:", "\n\n:\n", "0::"})
        EXPECT_NO_FATAL_FAILURE((void)locate_cgroups(text, text)) << text;
    // A group's name may hold colons.
    EXPECT_EQ(directory_of(locate_cgroups(kPureV2Mounts, "0::/a:b:c\n").unified), "/sys/fs/cgroup/a:b:c");
}

}  // namespace
}  // namespace substrate::world
