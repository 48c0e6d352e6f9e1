#pragma once

#include <string>

#include "plan/world_plan.hpp"

// Machines and wishes that the tests of the planner are about.
namespace substrate::plan::test_support {

inline Capability works() { return {.ok = true, .reason = {}, .fix = {}}; }
inline Capability lacks(std::string reason, std::string fix) {
    return {.ok = false, .reason = std::move(reason), .fix = std::move(fix)};
}

// An ordinary account on a Debian-like machine where everything works.
inline HostFacts user_facts() {
    HostFacts facts;
    facts.uid = 1000;
    facts.gid = 1000;
    facts.uid_extents = {{1000, 1}};
    facts.gid_extents = {{1000, 1}};
    facts.home = "/home/ada";
    facts.substrate_home = "/home/ada/.substrate";
    facts.boot_id = "00000000-0000-4000-8000-000000000000";
    facts.kernel_release = "6.1.0-test";
    facts.kernel_major = 6;
    facts.kernel_minor = 1;
    facts.landlock_abi = 2;
    facts.memory_bytes = 8ull << 30;
    facts.most_processes = 32768;
    facts.root_entries = {{"bin", false, "usr/bin"}, {"boot", true, {}}, {"dev", true, {}},
                          {"etc", true, {}},         {"home", true, {}}, {"initrd.img", false, "boot/initrd"},
                          {"lib", false, "usr/lib"}, {"proc", true, {}}, {"root", true, {}},
                          {"run", true, {}},         {"srv", true, {}},  {"swapfile", false, {}},
                          {"sys", true, {}},         {"tmp", true, {}},  {"usr", true, {}},
                          {"var", true, {}}};
    facts.device_nodes = {"full", "null", "random", "tty", "urandom", "zero"};
    facts.user_namespace = facts.net_namespace = facts.proc_mount = facts.overlay = facts.fuse = works();
    facts.process_count = facts.ipv6 = facts.nftables = works();
    facts.veth = lacks("it needs CAP_NET_ADMIN and CAP_SYS_ADMIN", "run the agent as root");
    facts.fuse_binary = "/usr/bin/fuse-overlayfs";
    return facts;
}

// The same machine for root.
inline HostFacts root_facts() {
    HostFacts facts = user_facts();
    facts.process_count = lacks("root is counted nowhere", "");
    facts.veth = works();
    facts.uid = facts.gid = 0;
    facts.uid_extents = facts.gid_extents = {{0, 65536}, {100000, 65536}};
    facts.home = "/root";
    facts.substrate_home = "/root/.substrate";
    return facts;
}

inline WorldSpec spec_for(const std::string& project) {
    WorldSpec spec;
    spec.world_id = "wld_018f0000-0000-7000-8000-000000000001";
    spec.project = HostPath(project);
    spec.project_device = 0x800000001;
    spec.project_inode = 4711;
    spec.store = HostPath("/home/ada/.substrate/overlay/p-0123456789abcdef");
    return spec;
}

}  // namespace substrate::plan::test_support
