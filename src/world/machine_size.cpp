#include "world/machine_size.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "sys/cgroup_dir.hpp"
#include "sys/file.hpp"
#include "world/cgroup_ground.hpp"

namespace substrate::world {
namespace {

std::vector<std::uint64_t> numbers_of(std::string_view line) {
    std::vector<std::uint64_t> numbers;
    const char* at = line.data();
    const char* const end = at + line.size();
    while (at < end) {
        std::uint64_t number = 0;
        const auto [next, problem] = std::from_chars(at, end, number);
        if (problem == std::errc()) numbers.push_back(number);
        at = problem == std::errc() ? next : at + 1;
    }
    return numbers;
}

// Of version 1 the kernel knows the lowest above it, too (cgroup-v1/memory.rst); of version 2 only our own.
std::uint64_t group_limit() {
    const auto ground = find_cgroup_ground();
    if (!ground) return 0;
    const auto& v1 = ground->of(CgroupController::memory);
    const CgroupPlace* const place = v1 ? &*v1 : ground->unified ? &*ground->unified : nullptr;
    if (place == nullptr || place->directory.empty()) return 0;
    const auto group =
        sys::open_cgroup(place->directory, v1 ? sys::CgroupVersion::v1 : sys::CgroupVersion::v2);
    if (!group) return 0;
    if (v1) {
        const auto text = sys::read_cgroup_file(group->get(), "memory.stat");
        return text ? sys::cgroup_key(*text, "hierarchical_memory_limit").value_or(0) : 0;
    }
    const auto limit = sys::read_cgroup_number(group->get(), "memory.max");
    return limit && *limit ? **limit : 0;
}

}  // namespace

std::uint64_t total_memory(std::string_view meminfo) {
    constexpr std::string_view kKey = "MemTotal:";
    const auto at = meminfo.find(kKey);
    if (at == std::string_view::npos || (at != 0 && meminfo[at - 1] != '\n')) return 0;
    const auto numbers = numbers_of(meminfo.substr(at, meminfo.find('\n', at) - at));
    return numbers.empty() ? 0 : numbers.front() * 1024;
}

MachineSize machine_size() {
    MachineSize size;
    if (const auto meminfo = sys::read_file("/proc/meminfo", 1 << 16))
        size.memory_bytes = total_memory(*meminfo);
    if (const std::uint64_t limit = group_limit(); limit != 0)
        size.memory_bytes = size.memory_bytes == 0 ? limit : std::min(size.memory_bytes, limit);
    if (const auto most = sys::read_file("/proc/sys/kernel/pid_max", 64)) {
        const auto numbers = numbers_of(*most);
        if (!numbers.empty()) size.most_processes = numbers.front();
    }
    return size;
}

}  // namespace substrate::world
