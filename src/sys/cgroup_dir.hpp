#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Directories of the cgroup file systems and their files. See cgroups(7) and the
// kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/.
namespace substrate::sys {

enum class CgroupVersion : std::uint8_t { v1, v2 };

// Opens the directory of a group. Errc::unsupported when it lies on anything but a
// cgroup file system of that version: a directory of that name limits nothing.
Result<UniqueFd> open_cgroup(const std::string& path, CgroupVersion version);
// The group `name` directly below; links are not followed.
Result<UniqueFd> open_cgroup_at(int group, const std::string& name);
// mkdirat(2), 0755. EEXIST is an error like any other.
Result<> make_cgroup_at(int group, const std::string& name);
// rmdir(2) of the group `name` below; missing is success. EBUSY: it holds processes,
// or groups of its own.
Result<> remove_cgroup_at(int group, const std::string& name);

// The whole text of one of the group's files.
Result<std::string> read_cgroup_file(int group, const char* file);
// The number that is all a file holds; "max" is nullopt.
Result<std::optional<std::uint64_t>> read_cgroup_number(int group, const char* file);
// One write(2): what such a file takes as one command. No error of a write that the kernel
// takes late, so limits are read back by whoever sets them.
Result<> write_cgroup_file(int group, const char* file, std::string_view text);
bool cgroup_file_exists(int group, const char* file);

// Of text with lines "key number" (memory.events, cpu.stat, memory.oom_control, …).
std::optional<std::uint64_t> cgroup_key(std::string_view text, std::string_view key);

// The processes of the group itself, not of groups below it, as our pid namespace
// numbers them; those that it does not show are left out.
Result<std::vector<pid_t>> cgroup_processes(int group);
// SIGKILL to each process of the group, once. How many were sent. Nobody else can be
// hit by a number that was used again meanwhile. KERNEL(5.3): pidfd_open(2)
Result<std::size_t> kill_cgroup_processes(int group);

// Sleeps for so long, whatever signals arrive.
void pause_us(std::int64_t us);

}  // namespace substrate::sys
