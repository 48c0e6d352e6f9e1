#include "shell/doctor.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

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

Finding landlock_row(int abi) {
    const std::string fix = "boot with landlock in the lsm= list, Linux 5.19 or newer";
    if (abi == 0) return {Verdict::warn, "landlock", "not in this kernel, or switched off", fix};
    if (abi == 1)
        return {Verdict::warn, "landlock", "ABI 1 is not used: it forbids renames between directories", fix};
    return {Verdict::pass, "landlock", fmt::format("ABI {}", abi), {}};
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
                notes.cgroup_detail + "; limits of memory, processors and processes hold",
                {}};
    std::string reasons;
    for (const Degradation& missing : notes.missing_limits)
        reasons += (reasons.empty() ? "" : "; ") + missing.reason;
    return {Verdict::warn, "cgroups", notes.cgroup_detail + ": " + reasons, notes.missing_limits.front().fix};
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
    findings.push_back(of(facts.proc_mount, "fresh /proc", Verdict::fail));
    findings.push_back(of(facts.overlay, "overlay", facts.fuse.ok ? Verdict::warn : Verdict::fail));
    findings.push_back(of(facts.fuse, "fuse-overlayfs", facts.overlay.ok ? Verdict::info : Verdict::fail));
    if (facts.fuse.ok && !notes.fuse_version.empty())
        findings.back().detail += fmt::format(" ({})", notes.fuse_version);
    findings.push_back(seccomp_row(notes.seccomp_actions));
    findings.push_back(landlock_row(facts.landlock_abi));
    findings.push_back(of(facts.path_guard, "denied patterns", Verdict::warn));
    findings.push_back(limits_row(notes));
    findings.push_back(place_row("nft", notes.nft));
    if (!notes.nft_version.empty()) findings.back().detail += fmt::format(" ({})", notes.nft_version);
    findings.push_back({Verdict::info,
                        "dmesg_restrict",
                        notes.dmesg_restrict.empty() ? "unknown" : notes.dmesg_restrict,
                        {}});
    findings.push_back({Verdict::info, "SELinux", notes.selinux, {}});
    findings.push_back({Verdict::info, "capabilities", notes.capabilities, {}});
    findings.push_back(
        {Verdict::info, "KVM", notes.kvm ? "/dev/kvm can be opened" : "/dev/kvm cannot be opened", {}});
    findings.push_back({Verdict::info, "Docker", notes.docker ? "its socket is there" : "no socket", {}});
    findings.push_back(place_row("Podman", notes.podman));
    findings.push_back(place_row("Nix", notes.nix));
    findings.push_back({Verdict::info, "guest root", "none: commands see the host's own programs", {}});
    for (const auto& root : notes.capture_roots) findings.push_back(root_row(root));
    findings.push_back(
        {Verdict::info, "agent", notes.agent_running ? "running" : "not running; started on demand", {}});
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
    json["overlay_mount_ok"] = facts.overlay.ok;
    json["fuse"] = {{"dev", notes.fuse_device},
                    {"bin", text_or_null(facts.fuse_binary)},
                    {"version", text_or_null(notes.fuse_version)},
                    {"works", facts.fuse.ok}};
    json["userns"] = facts.user_namespace.ok ? "enabled" : facts.user_namespace.reason;
    json["netns"] = facts.net_namespace.ok;
    json["nft"] = {{"present", !notes.nft.empty()},
                   {"path", text_or_null(notes.nft)},
                   {"version", text_or_null(notes.nft_version)}};
    json["landlock"] = {{"supported", facts.landlock_abi > 0}, {"abi", facts.landlock_abi}};
    json["seccomp"] = {{"actions", notes.seccomp_actions}};
    json["dmesg_restrict"] = notes.dmesg_restrict;
    json["selinux"] = notes.selinux;
    json["capabilities"] = capability_names(notes.capabilities);
    json["overlay_root"] = notes.capture_roots.front().path;
    json["copydiff_root"] = notes.capture_roots.front().path;
    json["backends"] = {{"local", facts.user_namespace.ok || facts.is_root()}};
    json["findings"] = std::move(rows);
    return json;
}

}  // namespace substrate::shell
