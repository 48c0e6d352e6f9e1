#pragma once

#include <cstdint>

#include "model/policy.hpp"
#include "plan/host_facts.hpp"

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
    // Nobody has asked for these: they are shares of the machine, so that no command takes all of it.
    bool memory_is_default = false;
    bool pids_is_default = false;
    // RLIMIT_NPROC holds `pids` as well, or alone where no group can.
    bool pids_by_user = false;
    IoLimits io;

    bool any() const { return cpu_millis != 0 || memory_bytes != 0 || pids != 0 || io.any(); }
    bool operator==(const Limits&) const = default;
};

// A policy's. Its time limit is not a group's to hold.
inline Limits limits_of(const WorldLimits& rules) {
    return {.cpu_millis = rules.cpu_millis,
            .memory_bytes = rules.memory_bytes,
            .pids = rules.pids,
            .io = rules.io};
}

// What holds where nobody says otherwise:
// - memory: three quarters of the machine's;
// - processes and threads: one for each 2 MiB of the limit of memory, at least 1,024 and at most 16,384, and
//   never more than a quarter of what the kernel numbers.
// Where the machine's memory is not known there are no such limits.
Limits with_defaults(Limits asked, const HostFacts& facts);

// The room of a world's own file systems in memory: shares of its limit of memory. 0: the kernel's default.
struct ScratchSizes {
    std::uint64_t tmp = 0;      // /tmp: a third
    std::uint64_t var_tmp = 0;  // /var/tmp: a sixth
    std::uint64_t dev_shm = 0;  // /dev/shm: a sixth
    bool operator==(const ScratchSizes&) const = default;
};
ScratchSizes scratch_sizes(const Limits& limits);
// How many files one of that size may have: one for each 8 KiB. The kernel's memory for a file
// is in no file's size.
std::uint64_t files_for(std::uint64_t bytes);

}  // namespace substrate::plan
