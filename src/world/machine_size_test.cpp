#include "world/machine_size.hpp"

#include <gtest/gtest.h>

namespace substrate::world {
namespace {

TEST(MachineSize, MemoryIsWhatMeminfoSays) {
    EXPECT_EQ(total_memory("MemTotal:       24691808 kB\nMemFree: 1 kB\n"), 24691808ull * 1024);
    EXPECT_EQ(total_memory("MemFree: 1 kB\nMemTotal: 2 kB"), 2048u);
    for (const char* nothing : {"", "MemTotal:", "MemTotal: lots\n", "XMemTotal: 5 kB"})
        EXPECT_EQ(total_memory(nothing), 0u) << nothing;
}

TEST(MachineSize, ThisMachineHasSome) {
    EXPECT_GT(machine_size().memory_bytes, 1u << 20);
    EXPECT_GT(machine_size().most_processes, 100u);
}

}  // namespace
}  // namespace substrate::world
