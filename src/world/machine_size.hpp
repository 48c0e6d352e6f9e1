#pragma once

#include <cstdint>
#include <string_view>

// How much there is of what worlds share.
namespace substrate::world {

struct MachineSize {
    std::uint64_t memory_bytes = 0;    // 0: unknown
    std::uint64_t most_processes = 0;  // kernel.pid_max; 0: unknown
};

// Memory is what /proc/meminfo says, which containers may show their own share in, or the limit of the
// control group that we live in where that is lower.
MachineSize machine_size();

// Pure. MemTotal of the text of proc_meminfo(5), in bytes; 0 when it has none.
std::uint64_t total_memory(std::string_view meminfo);

}  // namespace substrate::world
