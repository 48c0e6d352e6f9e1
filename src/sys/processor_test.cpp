#include "sys/processor.hpp"

#include <gtest/gtest.h>

namespace substrate::sys {
namespace {

cpu_set_t allowed(pid_t pid) {
    cpu_set_t set;
    EXPECT_EQ(::sched_getaffinity(pid, sizeof set, &set), 0);
    return set;
}

// The calling thread stands for both: while it is kept apart, it has moved on.
TEST(ProcessorApart, MovesAProcessAndGivesBackWhatItHad) {
    const cpu_set_t before = allowed(0);
    if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "one processor";
    {
        const ProcessorApart apart(0);
        const cpu_set_t meanwhile = allowed(0);
        EXPECT_EQ(CPU_COUNT(&meanwhile), CPU_COUNT(&before) - 1);
    }
    const cpu_set_t after = allowed(0);
    EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

TEST(ProcessorApart, LeavesAloneWhereThereIsOneProcessor) {
    const cpu_set_t before = allowed(0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
        if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    {
        const ProcessorApart apart(0);
        const cpu_set_t meanwhile = allowed(0);
        EXPECT_TRUE(CPU_EQUAL(&one, &meanwhile));
    }
    ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

}  // namespace
}  // namespace substrate::sys
