#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

// What is set inside a new set of namespaces. See namespaces(7).
namespace substrate::sys {

struct IdRange {
    std::uint32_t first = 0;
    std::uint32_t count = 1;
};

// Writes /proc/PID/{setgroups,uid_map,gid_map}: ids to themselves, setgroups
// denied. See user_namespaces(7).
Result<> write_identity_maps(pid_t pid, const std::vector<IdRange>& uids, const std::vector<IdRange>& gids);
// The ranges that exist in our own user namespace, of "uid_map" or "gid_map".
Result<std::vector<IdRange>> own_id_ranges(const char* map_file);
// How the files of accounts that our user namespace does not map look: the overflow id
// (/proc/sys/kernel/overflowuid). 0 in the initial namespace, which maps all of them.
std::uint32_t unmapped_uid();

// Whether our namespace of this kind ("net", "mnt", …) belongs to our user namespace: then our capabilities
// hold for it (ioctl_ns(2)).
bool owns_namespace(const char* type);
// Brings the loopback interface of the current net namespace up.
Result<> raise_loopback();
// setns(2): `fd` names a namespace, or a process by its pidfd; `type` is one CLONE_NEW* flag.
Result<> join_namespace(int fd, int type);
Result<> set_hostname(const std::string& name);

}  // namespace substrate::sys
