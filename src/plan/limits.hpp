#pragma once

#include <cstdint>

#include "model/policy.hpp"

namespace substrate::plan {

// What a world may use at most, all its processes together.
struct Limits {
    std::uint32_t cpu_millis = 0;    // thousandths of one processor; 0: no limit
    std::uint64_t memory_bytes = 0;  // 0: no limit. The kernel counts whole pages, rounded down
    // Swap beside `memory_bytes`, where that is set: without a limit on swap, a limit on
    // memory only moves the pages elsewhere. 0: no swap at all.
    std::uint64_t swap_bytes = 0;
    std::uint64_t pids = 0;  // processes and threads; 0: no limit
    // Out of memory ends the whole world and not only the process that the kernel picks.
    // cgroup v2 only (memory.oom.group).
    bool out_of_memory_ends_all = false;

    bool any() const { return cpu_millis != 0 || memory_bytes != 0 || pids != 0; }
    bool operator==(const Limits&) const = default;
};

// A policy's. Its time limit is not a group's to hold.
inline Limits limits_of(const WorldLimits& rules) {
    return {.cpu_millis = rules.cpu_millis, .memory_bytes = rules.memory_bytes, .pids = rules.pids};
}

}  // namespace substrate::plan
