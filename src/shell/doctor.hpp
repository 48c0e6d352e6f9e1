#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codec/json_value.hpp"
#include "plan/host_facts.hpp"
#include "shell/console.hpp"

namespace substrate::shell {

enum class Verdict { pass, warn, fail, info };

// One row of `substrate world doctor`.
struct Finding {
    Verdict verdict = Verdict::info;
    std::string what;
    std::string detail;
    std::string fix;  // one line; empty when there is nothing to do
};

// What is asked of the machine besides HostFacts.
struct MachineNotes {
    std::string distribution;
    int cgroup_version = 0;  // 0: none
    std::string cgroup_detail;
    std::vector<std::string> cgroup_controllers;  // those that worlds could use, as version 2 calls them
    std::vector<Degradation> missing_limits;      // that a world's group would not have
    std::vector<Degradation> missing_io_limits;
    std::string nft;  // its place in the file system, or empty
    std::string nft_version;
    std::string dmesg_restrict;
    std::string selinux;
    std::string apparmor_userns;
    std::string seccomp_actions;  // as /proc/sys/kernel/seccomp/actions_avail lists them
    std::string capabilities;
    bool kvm = false;
    std::string microvm_kernel, microvm_program, lima;  // their places in the file system, or empty
    std::string gateway;                                // likewise
    std::string gateway_problem;                        // why it does not start; empty: it does
    std::string ip_forward;                             // of IPv4, as /proc has it
    bool fuse_device = false;
    std::string fuse_version;  // what fuse-overlayfs says of itself, or empty
    bool docker = false;
    std::string podman, nix;  // their places in the file system, or empty
    std::string agent_socket;
    bool agent_running = false;
    struct CaptureRoot {
        std::string path;
        std::optional<std::uint64_t> bytes_left;  // nullopt: not made yet
    };
    std::vector<CaptureRoot> capture_roots;
};

// Pure: rows and JSON from what was found out.
std::vector<Finding> judge(const plan::HostFacts& facts, const MachineNotes& notes);
Json doctor_json(const plan::HostFacts& facts, const MachineNotes& notes,
                 const std::vector<Finding>& findings);

// Where a probe tries what captures need.
std::string probe_scratch(const Console& console);

}  // namespace substrate::shell
