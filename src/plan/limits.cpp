#include "plan/limits.hpp"

#include <algorithm>

namespace substrate::plan {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kLeastProcesses = 1024;
constexpr std::uint64_t kMostProcesses = 16384;
constexpr std::uint64_t kBytesPerProcess = 2 * kMiB;
constexpr std::uint64_t kBytesPerFile = 8 * 1024;

std::uint64_t whole_mib(std::uint64_t bytes) { return bytes / kMiB * kMiB; }

// Never 0, which would be the kernel's default and more.
std::uint64_t share(std::uint64_t bytes, std::uint64_t parts) {
    return bytes == 0 ? 0 : std::max(whole_mib(bytes / parts), kMiB);
}

}  // namespace

Limits with_defaults(Limits asked, const HostFacts& facts) {
    if (asked.memory_bytes == 0 && facts.memory_bytes != 0) {
        asked.memory_bytes = whole_mib(facts.memory_bytes / 4 * 3);
        asked.memory_is_default = asked.memory_bytes != 0;
    }
    if (asked.pids == 0 && facts.memory_bytes != 0) {
        asked.pids = std::clamp(asked.memory_bytes / kBytesPerProcess, kLeastProcesses, kMostProcesses);
        if (facts.most_processes != 0) asked.pids = std::min(asked.pids, facts.most_processes / 4);
        asked.pids_is_default = true;
    }
    asked.pids_by_user = asked.pids != 0 && facts.process_count.ok && facts.user_namespace.ok;
    return asked;
}

ScratchSizes scratch_sizes(const Limits& limits) {
    return {.tmp = share(limits.memory_bytes, 3),
            .var_tmp = share(limits.memory_bytes, 6),
            .dev_shm = share(limits.memory_bytes, 6)};
}

std::uint64_t files_for(std::uint64_t bytes) { return bytes / kBytesPerFile; }

}  // namespace substrate::plan
