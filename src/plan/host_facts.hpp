#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/span.hpp"

namespace substrate::plan {

// Whether something works here. `reason` and `fix` are set when it does not.
struct Capability {
    bool ok = false;
    std::string reason;
    std::string fix;
    bool operator==(const Capability&) const = default;
};

// A name directly below the host's "/".
struct RootEntry {
    std::string name;
    bool directory = true;
    std::string link_target;  // set when it is a symbolic link
    bool operator==(const RootEntry&) const = default;
};

// Ids [first, first + count) that exist in our own user namespace and may be
// mapped to themselves in a child's.
struct IdExtent {
    std::uint32_t first = 0;
    std::uint32_t count = 1;
    bool operator==(const IdExtent&) const = default;
};

// What the planner must know of this machine and account. Filled once by
// world/probe, or by a test.
struct HostFacts {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<IdExtent> uid_extents;
    std::vector<IdExtent> gid_extents;
    std::string home;          // $HOME, without links
    std::string account_home;  // of the account database, without links; may be the same
    std::string substrate_home;
    std::string boot_id;
    std::string kernel_release;
    int kernel_major = 0;
    int kernel_minor = 0;
    int landlock_abi = 0;
    std::uint64_t memory_bytes = 0;    // of the machine, or of the group that we live in; 0: unknown
    std::uint64_t most_processes = 0;  // that the kernel numbers (kernel.pid_max); 0: unknown
    std::vector<RootEntry> root_entries;
    std::vector<std::string> device_nodes;  // of the allowlist, those that exist
    Capability user_namespace;
    Capability net_namespace;
    Capability nftables;  // rules of its own in a network namespace of its own
    Capability ipv6;      // in a network namespace of its own
    Capability veth;      // whether a world's network can be named and connected with the host's
    Capability proc_mount;
    Capability overlay;  // as this user, in the namespaces a world would have
    Capability fuse;
    Capability path_guard;  // answering the path calls of a command
    // RLIMIT_NPROC counts the processes of a user namespace by themselves, and holds for us.
    Capability process_count;
    std::string fuse_binary;  // path of fuse-overlayfs when `fuse.ok`

    bool is_root() const { return uid == 0; }
    bool kernel_at_least(int major, int minor) const {
        return kernel_major != major ? kernel_major > major : kernel_minor >= minor;
    }
    bool operator==(const HostFacts&) const = default;
};

}  // namespace substrate::plan
