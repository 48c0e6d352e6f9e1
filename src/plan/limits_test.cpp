#include <gtest/gtest.h>

#include <limits>

#include "plan/plan_test_support.hpp"

namespace substrate::plan {
namespace {

using test_support::root_facts;
using test_support::spec_for;
using test_support::user_facts;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kGiB = 1 << 30;

TEST(Limits, ShareOfTheMachineWhereNobodySaysOtherwise) {
    const Limits limits = with_defaults({}, user_facts());
    EXPECT_EQ(limits.memory_bytes, 6 * kGiB);
    EXPECT_EQ(limits.pids, 3072u);
    EXPECT_TRUE(limits.memory_is_default && limits.pids_is_default);
    EXPECT_EQ(limits.cpu_millis, 0u);
    const ScratchSizes sizes = scratch_sizes(limits);
    EXPECT_EQ(sizes, (ScratchSizes{.tmp = 2 * kGiB, .var_tmp = kGiB, .dev_shm = kGiB}));
    EXPECT_EQ(files_for(sizes.tmp), 262144u);
}

TEST(Limits, APolicysStandAsTheyAre) {
    const Limits asked{.cpu_millis = 100, .memory_bytes = 96 * kMiB, .pids = 24};
    const Limits limits = with_defaults(asked, root_facts());
    EXPECT_EQ(limits, asked);
    EXPECT_EQ(scratch_sizes(limits).tmp, 32 * kMiB);
    // More than the machine has, and more than the default.
    EXPECT_EQ(with_defaults({.memory_bytes = 64 * kGiB, .pids = 100000}, root_facts()).pids, 100000u);
}

TEST(Limits, OneOfThemAlone) {
    const Limits limits = with_defaults({.memory_bytes = kGiB}, user_facts());
    EXPECT_FALSE(limits.memory_is_default);
    EXPECT_TRUE(limits.pids_is_default);
    EXPECT_EQ(limits.pids, 1024u) << "the least";
}

TEST(Limits, LargeAndSmallMachines) {
    HostFacts facts = user_facts();
    facts.memory_bytes = 512 * kGiB;
    facts.most_processes = 4194304;
    EXPECT_EQ(with_defaults({}, facts).pids, 16384u);
    facts.most_processes = 32768;
    EXPECT_EQ(with_defaults({}, facts).pids, 8192u);
    facts.memory_bytes = kMiB;
    EXPECT_EQ(scratch_sizes(with_defaults({}, facts)).tmp, 0u) << "less than a MiB is no share";
    facts.memory_bytes = 2 * kMiB;
    EXPECT_EQ(scratch_sizes(with_defaults({}, facts)).dev_shm, kMiB);
    facts.memory_bytes = 0;
    EXPECT_EQ(with_defaults({}, facts), Limits{});
    facts.memory_bytes = std::numeric_limits<std::uint64_t>::max();
    EXPECT_GT(with_defaults({}, facts).memory_bytes, 1ull << 63);
}

TEST(Limits, TheUserNamespaceCountsForWhoIsNotRoot) {
    EXPECT_TRUE(with_defaults({}, user_facts()).pids_by_user);
    EXPECT_TRUE(with_defaults({.pids = 5}, user_facts()).pids_by_user);
    EXPECT_FALSE(with_defaults({}, root_facts()).pids_by_user);
    HostFacts facts = user_facts();
    facts.user_namespace = test_support::lacks("none", "");
    EXPECT_FALSE(with_defaults({}, facts).pids_by_user) << "all of the user's processes would count";
}

TEST(Limits, EveryFileSystemInMemoryThatCanBeWrittenHasABound) {
    for (const auto& facts : {user_facts(), root_facts()}) {
        const auto plan = plan_world(spec_for("/home/ada/code/app"), facts);
        ASSERT_TRUE(plan);
        std::uint64_t all = 0;
        for (const MountOp& op : plan->mounts) {
            const auto* tmpfs = std::get_if<Tmpfs>(&op.action);
            if (tmpfs == nullptr || tmpfs->read_only) continue;
            EXPECT_NE(tmpfs->size_bytes, 0u) << op.target.str();
            all += tmpfs->size_bytes;
        }
        EXPECT_LE(all, plan->limits.memory_bytes / 3 * 2 + 16 * kMiB);
    }
}

}  // namespace
}  // namespace substrate::plan
