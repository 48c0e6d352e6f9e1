#include "shell/doctor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "plan/limits.hpp"
#include "plan/world_plan.hpp"

namespace substrate::shell {
namespace {

// capabilities(7), by number.
constexpr std::array<std::string_view, 41> kCapabilities = {"chown",
                                                            "dac_override",
                                                            "dac_read_search",
                                                            "fowner",
                                                            "fsetid",
                                                            "kill",
                                                            "setgid",
                                                            "setuid",
                                                            "setpcap",
                                                            "linux_immutable",
                                                            "net_bind_service",
                                                            "net_broadcast",
                                                            "net_admin",
                                                            "net_raw",
                                                            "ipc_lock",
                                                            "ipc_owner",
                                                            "sys_module",
                                                            "sys_rawio",
                                                            "sys_chroot",
                                                            "sys_ptrace",
                                                            "sys_pacct",
                                                            "sys_admin",
                                                            "sys_boot",
                                                            "sys_nice",
                                                            "sys_resource",
                                                            "sys_time",
                                                            "sys_tty_config",
                                                            "mknod",
                                                            "lease",
                                                            "audit_write",
                                                            "audit_control",
                                                            "setfcap",
                                                            "mac_override",
                                                            "mac_admin",
                                                            "syslog",
                                                            "wake_alarm",
                                                            "block_suspend",
                                                            "audit_read",
                                                            "perfmon",
                                                            "bpf",
                                                            "checkpoint_restore"};

// The names in a mask as /proc/self/status writes it.
Json capability_names(std::string_view mask) {
    std::uint64_t bits = 0;
    std::from_chars(mask.data(), mask.data() + mask.size(), bits, 16);
    Json names = Json::array();
    for (std::size_t number = 0; number < 64; ++number) {
        if ((bits >> number & 1) == 0) continue;
        if (number < kCapabilities.size()) names.push_back("cap_" + std::string(kCapabilities[number]));
        else names.push_back(fmt::format("cap_{}", number));
    }
    return names;
}

// Null rather than a text that says nothing.
Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Finding of(const plan::Capability& capability, std::string what, Verdict otherwise) {
    if (capability.ok) return {Verdict::pass, std::move(what), "works", {}};
    return {otherwise, std::move(what), capability.reason, capability.fix};
}

const char* to_string(Verdict verdict) {
    switch (verdict) {
        case Verdict::pass: return "PASS";
        case Verdict::warn: return "WARN";
        case Verdict::fail: return "FAIL";
        case Verdict::info: return "INFO";
    }
    return "INFO";
}

// What worlds have of an ABI.
std::vector<std::string> landlock_holds(int abi) {
    struct Step {
        int abi;
        const char* what;
    };
    std::vector<std::string> held;
    for (const Step& step :
         {Step{2, "files"}, Step{3, "truncate"}, Step{4, "tcp_ports"}, Step{5, "device_ioctl"},
          Step{6, "signals"}, Step{6, "abstract_sockets"}, Step{7, "log"}})
        if (abi >= step.abi) held.emplace_back(step.what);
    return held;
}

Finding landlock_row(int abi) {
    const std::string fix = "boot with landlock in the lsm= list, Linux 5.19 or newer";
    if (abi == 0) return {Verdict::warn, "landlock", "not in this kernel, or switched off", fix};
    if (abi == 1)
        return {Verdict::warn, "landlock", "ABI 1 is not used: it forbids renames between directories", fix};
    std::string detail = fmt::format("ABI {}", abi);
    if (abi > plan::kLandlockKnownAbi)
        detail += fmt::format(", of which {} is used", plan::kLandlockKnownAbi);
    return {
        Verdict::pass, "landlock", fmt::format("{}: {}", detail, fmt::join(landlock_holds(abi), ", ")), {}};
}

// Worlds refuse calls by "errno" and, where a policy says so, write them to the log.
Finding seccomp_row(const std::string& actions) {
    const std::string spaced = " " + actions + " ";
    for (const std::string_view needed : {" errno ", " log "})
        if (!spaced.contains(needed))
            return {Verdict::fail, "seccomp",
                    actions.empty() ? "not in this kernel" : "the kernel has only: " + actions,
                    "a kernel with CONFIG_SECCOMP_FILTER, Linux 4.14 or newer"};
    return {Verdict::pass, "seccomp", actions, {}};
}

Finding root_row(const MachineNotes::CaptureRoot& root) {
    constexpr std::uint64_t kMiB = 1 << 20;
    if (!root.bytes_left) return {Verdict::info, "capture root", root.path, {}};
    std::string detail = fmt::format("{} ({} MiB free)", root.path, *root.bytes_left / kMiB);
    if (*root.bytes_left >= 64 * kMiB) return {Verdict::info, "capture root", std::move(detail), {}};
    return {Verdict::warn, "capture root", std::move(detail),
            "free some space there, or set SUBSTRATE_HOME to another disk"};
}

Finding place_row(std::string what, const std::string& place) {
    return {Verdict::info, std::move(what), place.empty() ? "not installed" : place, {}};
}

Finding limits_row(const MachineNotes& notes) {
    if (notes.missing_limits.empty())
        return {Verdict::pass,
                "cgroups",
                fmt::format("{}; limits of memory, processors and processes hold ({})", notes.cgroup_detail,
                            fmt::join(notes.cgroup_controllers, " ")),
                {}};
    std::string reasons;
    for (const Degradation& missing : notes.missing_limits)
        reasons += (reasons.empty() ? "" : "; ") + missing.reason;
    return {Verdict::warn, "cgroups", notes.cgroup_detail + ": " + reasons, notes.missing_limits.front().fix};
}

Finding io_limits_row(const MachineNotes& notes) {
    if (notes.missing_io_limits.empty())
        return {Verdict::pass, "I/O limits", "world.limits.io of a policy holds", {}};
    const Degradation& missing = notes.missing_io_limits.front();
    return {Verdict::info, "I/O limits", missing.reason, missing.fix};
}

// What worlds elsewhere than on this kernel would need. None of it is needed here.
void add_backends(std::vector<Finding>& findings, const MachineNotes& notes) {
    const auto row = [&](const char* what, bool there, std::string detail, std::string missing,
                         const char* fix) {
        findings.push_back(
            {Verdict::info, what, there ? std::move(detail) : std::move(missing), there ? "" : fix});
    };
    row("KVM", notes.kvm, "/dev/kvm can be opened", "/dev/kvm cannot be opened",
        "only for fast microVMs: load kvm_intel or kvm_amd, and add this account to the group kvm");
    row("microVM kernel", !notes.microvm_kernel.empty(), notes.microvm_kernel, "none that can be read",
        "only for microVMs: apt-get install linux-image-amd64, and let this account read /boot/vmlinuz-*");
    row("microVM program", !notes.microvm_program.empty(), notes.microvm_program, "not installed",
        "only for microVMs: apt-get install qemu-system-x86");
    row("Docker", notes.docker, "its socket is there", "no socket",
        "only for containers: apt-get install docker.io");
    row("Podman", !notes.podman.empty(), notes.podman, "not installed",
        "only for containers: apt-get install podman");
    row("Lima", !notes.lima.empty(), notes.lima, "not installed", "only for macOS: brew install lima");
    row("Nix", !notes.nix.empty(), notes.nix, "not installed",
        "only for worlds of declared tools: apt-get install nix-bin");
}

// What leads to the hosts that a policy names.
Finding gateway_row(const plan::HostFacts& facts, const MachineNotes& notes) {
    if (notes.gateway.empty())
        return {Verdict::warn, "gateway",
                "substrate-gateway is missing: worlds reach nothing, whatever policies allow",
                "install it beside substrate"};
    if (!facts.net_namespace.ok)
        return {Verdict::warn, "gateway", "not used: there is no network namespace", facts.net_namespace.fix};
    if (!notes.gateway_problem.empty())
        return {Verdict::warn, "gateway",
                notes.gateway + " does not start, so worlds reach nothing: " + notes.gateway_problem,
                "install the one of this version, executable, beside substrate"};
    return {Verdict::pass, "gateway", notes.gateway, {}};
}

Finding veth_row(const plan::HostFacts& facts, const MachineNotes& notes) {
    if (facts.veth.ok && notes.ip_forward != "1")
        return {Verdict::info, "net.mode veth", "the host does not forward packets",
                "only for net.mode veth: sysctl -w net.ipv4.ip_forward=1"};
    return of(facts.veth, "net.mode veth", Verdict::info);
}

Finding default_limits_row(const plan::HostFacts& facts) {
    constexpr std::uint64_t kMiB = 1 << 20;
    const plan::Limits limits = plan::with_defaults({}, facts);
    if (limits.memory_bytes == 0)
        return {Verdict::warn, "default limits", "none: the machine's memory is not known", "mount /proc"};
    return {Verdict::info,
            "default limits",
            fmt::format("memory {} MiB, processes {}{}, /tmp {} MiB; world.limits of a policy sets others",
                        limits.memory_bytes / kMiB, limits.pids,
                        limits.pids_by_user ? " (also by user namespace)" : "",
                        plan::scratch_sizes(limits).tmp / kMiB),
            {}};
}

}  // namespace

std::vector<Finding> judge(const plan::HostFacts& facts, const MachineNotes& notes) {
    std::vector<Finding> findings;
    const bool kernel_ok = facts.kernel_at_least(5, 12);
    findings.push_back({kernel_ok ? Verdict::pass : Verdict::fail, "kernel",
                        fmt::format("{} ({})", facts.kernel_release, notes.distribution),
                        kernel_ok ? "" : "Linux 5.12 or newer is needed"});
    findings.push_back(
        of(facts.user_namespace, "user namespaces", facts.is_root() ? Verdict::warn : Verdict::fail));
    if (notes.apparmor_userns == "1")
        findings.push_back(
            {Verdict::warn, "AppArmor", "restricts unprivileged user namespaces",
             "sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with userns"});
    findings.push_back(of(facts.net_namespace, "network namespace", Verdict::fail));
    findings.push_back(gateway_row(facts, notes));
    findings.push_back(of(facts.nftables, "nftables in worlds", Verdict::warn));
    findings.push_back(of(facts.ipv6, "IPv6 in worlds", Verdict::info));
    findings.push_back(veth_row(facts, notes));
    findings.push_back(of(facts.proc_mount, "fresh /proc", Verdict::fail));
    findings.push_back(of(facts.overlay, "overlay", facts.fuse.ok ? Verdict::warn : Verdict::fail));
    findings.push_back(of(facts.fuse, "fuse-overlayfs", facts.overlay.ok ? Verdict::info : Verdict::fail));
    if (facts.fuse.ok && !notes.fuse_version.empty())
        findings.back().detail += fmt::format(" ({})", notes.fuse_version);
    findings.push_back(seccomp_row(notes.seccomp_actions));
    findings.push_back(landlock_row(facts.landlock_abi));
    findings.push_back(of(facts.path_guard, "denied patterns", Verdict::warn));
    findings.push_back(limits_row(notes));
    findings.push_back(io_limits_row(notes));
    findings.push_back(default_limits_row(facts));
    findings.push_back(place_row("nft", notes.nft));
    if (!notes.nft_version.empty()) findings.back().detail += fmt::format(" ({})", notes.nft_version);
    findings.push_back({Verdict::info,
                        "dmesg_restrict",
                        notes.dmesg_restrict.empty() ? "unknown" : notes.dmesg_restrict,
                        {}});
    findings.push_back({Verdict::info, "SELinux", notes.selinux, {}});
    findings.push_back({Verdict::info, "capabilities", notes.capabilities, {}});
    add_backends(findings, notes);
    findings.push_back({Verdict::info, "guest root", "none: commands see the host's own programs", {}});
    for (const auto& root : notes.capture_roots) findings.push_back(root_row(root));
    findings.push_back({Verdict::info, "agent",
                        notes.agent_running ? "running" : "not running; started on demand",
                        notes.agent_running ? "" : "substrate world warm"});
    if (!notes.agent_socket.empty())
        findings.push_back({Verdict::info,
                            "agent's socket",
                            notes.agent_socket + (notes.agent_running ? "" : " (made with the agent)"),
                            {}});
    return findings;
}

Json doctor_json(const plan::HostFacts& facts, const MachineNotes& notes,
                 const std::vector<Finding>& findings) {
    Json rows = Json::array();
    for (const Finding& finding : findings) {
        Json row = {
            {"verdict", to_string(finding.verdict)}, {"what", finding.what}, {"detail", finding.detail}};
        if (!finding.fix.empty()) row["fix"] = finding.fix;
        rows.push_back(std::move(row));
    }
    Json json;
    json["kernel"] = facts.kernel_release;
    json["distribution"] = notes.distribution;
    json["cgroup_v2"] = notes.cgroup_version == 2;
    json["cgroup"] = notes.cgroup_detail;
    json["cgroup_controllers"] = notes.cgroup_controllers;
    const plan::Limits limits = plan::with_defaults({}, facts);
    json["default_limits"] = {{"memory_bytes", limits.memory_bytes},
                              {"pids", limits.pids},
                              {"pids_by_user_namespace", limits.pids_by_user},
                              {"tmp_bytes", plan::scratch_sizes(limits).tmp}};
    json["overlay_mount_ok"] = facts.overlay.ok;
    json["fuse"] = {{"dev", notes.fuse_device},
                    {"bin", text_or_null(facts.fuse_binary)},
                    {"version", text_or_null(notes.fuse_version)},
                    {"works", facts.fuse.ok}};
    json["userns"] = facts.user_namespace.ok ? "enabled" : facts.user_namespace.reason;
    json["netns"] = facts.net_namespace.ok;
    json["ipv6"] = facts.ipv6.ok;
    json["nftables"] = facts.nftables.ok;
    json["veth"] = facts.veth.ok;
    json["ip_forward"] = notes.ip_forward == "1";
    json["nft"] = {{"present", !notes.nft.empty()},
                   {"path", text_or_null(notes.nft)},
                   {"version", text_or_null(notes.nft_version)}};
    json["landlock"] = {
        {"supported", facts.landlock_abi > 0},
        {"abi", facts.landlock_abi},
        {"used", facts.landlock_abi < 2 ? 0 : std::min(facts.landlock_abi, plan::kLandlockKnownAbi)},
        {"holds", landlock_holds(facts.landlock_abi)}};
    json["seccomp"] = {{"actions", notes.seccomp_actions}};
    json["dmesg_restrict"] = notes.dmesg_restrict;
    json["selinux"] = notes.selinux;
    json["capabilities"] = capability_names(notes.capabilities);
    json["overlay_root"] = notes.capture_roots.front().path;
    json["copydiff_root"] = notes.capture_roots.front().path;
    json["kvm"] = notes.kvm;
    json["microvm"] = {{"kernel", text_or_null(notes.microvm_kernel)},
                       {"program", text_or_null(notes.microvm_program)}};
    json["docker"] = notes.docker;
    json["podman"] = text_or_null(notes.podman);
    json["lima"] = text_or_null(notes.lima);
    json["nix"] = text_or_null(notes.nix);
    json["gateway"] = text_or_null(notes.gateway);
    json["gateway_starts"] = !notes.gateway.empty() && notes.gateway_problem.empty();
    json["agent"] = {{"running", notes.agent_running}, {"socket", text_or_null(notes.agent_socket)}};
    // Of the others, what they would need is above; worlds are made on this kernel only.
    json["backends"] = {{"local", facts.user_namespace.ok || facts.is_root()},
                        {"microvm", false},
                        {"container", false},
                        {"lima", false}};
    json["findings"] = std::move(rows);
    return json;
}

}  // namespace substrate::shell
