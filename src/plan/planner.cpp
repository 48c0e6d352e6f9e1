#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "plan/fs_layout.hpp"
#include "plan/world_plan.hpp"

namespace substrate::plan {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr const char* kStoreInMemory = "captures can lie on a tmpfs only";

// What OCI runtimes hide below /proc, and what they make read-only.
constexpr std::array<std::string_view, 10> kMaskedProc = {
    "acpi",       "asound",      "kcore",       "keys", "latency_stats",
    "timer_list", "timer_stats", "sched_debug", "scsi", "interrupts"};
// The last is of world-init, whose user id a command has.
constexpr std::array<std::string_view, 6> kReadOnlyProc = {
    "bus", "fs", "irq", "sys", "sysrq-trigger", "1/oom_score_adj"};

// Secrets of the person's home that no command may read.
constexpr std::array<std::string_view, 8> kMaskedHome = {
    ".ssh", ".aws", ".gnupg", ".config/gcloud", ".mozilla", ".config/google-chrome", ".config/chromium",
    ".kube"};

// overlay → fuse → copy-diff, with the reason for each fall. `direct` is only
// ever taken when it was asked for.
Result<CaptureRecord> choose_capture(const WorldSpec& spec, const HostFacts& facts) {
    CaptureRecord record{.primary = spec.capture, .final = spec.capture, .fallback_reason = {}};
    const auto fall = [&](CaptureStrategy next, const std::string& reason) {
        if (!record.fallback_reason.empty()) record.fallback_reason += "; ";
        record.fallback_reason += fmt::format("{}: {}", to_string(record.final), reason);
        record.final = next;
    };
    if (record.final == CaptureStrategy::overlay && spec.store_in_memory)
        fall(CaptureStrategy::fuse, kStoreInMemory);
    if (record.final == CaptureStrategy::overlay && !facts.overlay.ok)
        fall(CaptureStrategy::fuse, facts.overlay.reason);
    if (record.final == CaptureStrategy::fuse && !facts.fuse.ok)
        fall(CaptureStrategy::copy_diff, facts.fuse.reason);
    if (spec.capture_is_required && record.final != record.primary)
        return fail(Error(Errc::unsupported, fmt::format("capture '{}' is not available: {}",
                                                         to_string(spec.capture), record.fallback_reason))
                        .hint("substrate world doctor shows what this machine can do"));
    return record;
}

// With a bound of its own, also where no group holds the world's memory.
Tmpfs scratch(std::uint64_t bytes) { return {.mode = 01777, .size_bytes = bytes, .files = files_for(bytes)}; }

void add_root(std::vector<MountOp>& ops, const WorldSpec& spec, const HostFacts& facts,
              const Limits& limits) {
    ops.push_back({WorldPath("/"), Tmpfs{.mode = 0755, .size_bytes = 16 * kMiB, .read_only = true}});
    add_host_tree(ops, spec, facts);
    ops.push_back({WorldPath("/tmp"), scratch(scratch_sizes(limits).tmp)});
    ops.push_back({WorldPath("/var/tmp"), scratch(scratch_sizes(limits).var_tmp)});
    ops.push_back(
        {WorldPath("/run"), Tmpfs{.mode = 0755, .size_bytes = 16 * kMiB, .files = files_for(16 * kMiB)}});
    ops.push_back({WorldPath("/run/lock"), Directory{.mode = 01777}});
    ops.push_back({WorldPath("/sys"), Directory{.mode = 0555}});
}

void add_dev(std::vector<MountOp>& ops, const HostFacts& facts, const Limits& limits) {
    ops.push_back({WorldPath("/dev"), Tmpfs{.mode = 0755, .size_bytes = kMiB, .read_only = true}});
    for (const std::string& name : facts.device_nodes)
        ops.push_back({WorldPath("/dev") / name,
                       Bind{.source = HostPath("/dev") / name, .read_only = false, .device = true}});
    ops.push_back({WorldPath("/dev/pts"), Devpts{}});
    ops.push_back({WorldPath("/dev/ptmx"), Symlink{"pts/ptmx"}});
    ops.push_back({WorldPath("/dev/shm"), scratch(scratch_sizes(limits).dev_shm)});
    ops.push_back({WorldPath("/dev/fd"), Symlink{"/proc/self/fd"}});
    ops.push_back({WorldPath("/dev/stdin"), Symlink{"/proc/self/fd/0"}});
    ops.push_back({WorldPath("/dev/stdout"), Symlink{"/proc/self/fd/1"}});
    ops.push_back({WorldPath("/dev/stderr"), Symlink{"/proc/self/fd/2"}});
}

void add_proc(std::vector<MountOp>& ops) {
    ops.push_back({WorldPath("/proc"), Proc{}});
    for (const std::string_view name : kMaskedProc) ops.push_back({WorldPath("/proc") / name, Mask{}});
    for (const std::string_view name : kReadOnlyProc) ops.push_back({WorldPath("/proc") / name, ReadOnly{}});
}

// Names are asked of the gateway; what the host asks is none of the world's business.
void add_uplink(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts) {
    // Who looks at a network by its name finds rules there, also where nothing leads out.
    const bool leads_out = plan.network == NetworkMode::gateway || plan.network == NetworkMode::veth;
    if (!leads_out && plan.network_name.empty()) return;
    constexpr std::size_t kShortId = 8;
    std::string id;
    for (const char c : spec.world_id)
        if (c != '-' && c != '_') id += c;
    plan.uplink.table = "substrate_" + id.substr(id.size() - std::min(id.size(), kShortId));
    if (!leads_out) return;
    // With a veth pair every address is judged by the sets that the gateway fills.
    if (plan.network == NetworkMode::gateway) plan.uplink.networks = spec.networks;
    plan.uplink.ipv6 = facts.ipv6.ok;
    ops.push_back({WorldPath("/etc/resolv.conf"), Text{fmt::format("nameserver {}\n", kNameServerAddress)}});
}

// Masks come last in the plan's meaning: whatever else shows these paths, they
// are empty. A project inside a masked directory is refused before.
void add_masks(std::vector<MountOp>& ops, const HostFacts& facts) {
    for (const std::string& home : {facts.home, facts.account_home})
        if (home.size() > 1)
            for (const std::string_view name : kMaskedHome) ops.push_back({WorldPath(home) / name, Mask{}});
    ops.push_back({WorldPath(facts.substrate_home), Mask{}});
    for (const std::string_view path :
         {"/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d",
          "/etc/ssl/private", "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key",
          "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_dsa_key", "/var/lib/substrate/overlay"})
        ops.push_back({WorldPath(std::string(path)), Mask{}});
}

// A mask on the very place of another mount: what is made fresh there shows nothing
// of the host, and a host directory that is hidden whole need not be mounted. Nor is
// anything of the host at the staging path: the state of an account whose home is "/".
void settle_masks(std::vector<MountOp>& ops) {
    std::set<WorldPath> masks, settled;
    for (const MountOp& op : ops)
        if (std::holds_alternative<Mask>(op.action)) masks.insert(op.target);
    for (MountOp& op : ops) {
        if (std::holds_alternative<Mask>(op.action) || !masks.contains(op.target)) continue;
        settled.insert(op.target);
        if (std::holds_alternative<Bind>(op.action) || std::holds_alternative<Symlink>(op.action))
            op.action = Directory{.mode = 0555};
    }
    std::erase_if(ops, [&](const MountOp& op) {
        return std::holds_alternative<Mask>(op.action) &&
               (settled.contains(op.target) || is_within(op.target.str(), kStagingPath));
    });
}

// The capture mount covers the project, and with it every mask below it: those
// are made again on top of each capture mount. A mask over the project itself
// or over a parent of it would hide what is captured.
Result<> set_apart_project_masks(std::vector<MountOp>& ops, CapturePlan& capture) {
    const std::string& project = capture.project.str();
    for (const MountOp& op : ops) {
        if (!std::holds_alternative<Mask>(op.action)) continue;
        if (is_within(project, op.target.str()))
            return fail(Error(Errc::safety, fmt::format("'{}' lies in {}, which worlds never show",
                                                        printable(project), op.target.str()))
                            .hint("change to a project directory"));
        if (is_within(op.target.str(), project)) capture.masks.push_back(op.target);
    }
    std::erase_if(ops, [&](const MountOp& op) {
        return std::holds_alternative<Mask>(op.action) && is_within(op.target.str(), project);
    });
    std::ranges::sort(capture.masks);
    return {};
}

void add_degradations(WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts) {
    if (!facts.user_namespace.ok)
        plan.degradations.push_back(
            {"user_namespace", facts.user_namespace.reason, facts.user_namespace.fix});
    if (plan.capture_record.final != plan.capture_record.primary) {
        const bool in_memory = spec.store_in_memory && spec.capture == CaptureStrategy::overlay;
        const Capability& wanted = spec.capture == CaptureStrategy::overlay ? facts.overlay : facts.fuse;
        plan.degradations.push_back({"capture", plan.capture_record.fallback_reason,
                                     in_memory ? "set SUBSTRATE_HOME to a directory on a disk" : wanted.fix});
    }
    if (spec.network != NetworkMode::host && plan.network == NetworkMode::host)
        plan.degradations.push_back({"network", facts.net_namespace.reason, facts.net_namespace.fix});
    if (spec.network == NetworkMode::veth && plan.network == NetworkMode::gateway)
        plan.degradations.push_back(
            {"network", "net.mode veth is not available, the gateway is used: " + facts.veth.reason,
             facts.veth.fix});
    if (plan.seccomp != SeccompMode::enforce)
        plan.degradations.push_back(
            {"seccomp", fmt::format("mode '{}' was asked for", to_string(plan.seccomp)), ""});
}

}  // namespace

Result<> check_machine(const HostFacts& facts) {
    if (!facts.kernel_at_least(5, 12))
        return fail(Error(Errc::unsupported, "kernel " + facts.kernel_release + " lacks mount_setattr(2)")
                        .hint("Linux 5.12 or newer is needed"));
    if (!facts.user_namespace.ok && !facts.is_root())
        return fail(
            Error(Errc::unsupported, "user namespaces are not available: " + facts.user_namespace.reason)
                .hint(facts.user_namespace.fix));
    if (!facts.proc_mount.ok)
        return fail(Error(Errc::unsupported, "a fresh /proc cannot be mounted: " + facts.proc_mount.reason)
                        .hint(facts.proc_mount.fix));
    return {};
}

Result<> check_project(const std::string& project, const HostFacts& facts) {
    for (const std::string_view never : {"/proc", "/sys", "/dev", "/usr", "/etc", "/boot", kStagingPath})
        if (is_within(project, never))
            return fail(Error(Errc::safety, fmt::format("'{}' cannot be a project: it lies in {}",
                                                        printable(project), never))
                            .hint("change to a project directory"));
    if (project == "/" || std::ranges::count(project, '/') < 1)
        return fail(Error(Errc::safety, "'/' cannot be a project").hint("change to a project directory"));
    if (is_within(project, facts.substrate_home))
        return fail(Error(Errc::safety, fmt::format("'{}' lies in Substrate's own state", printable(project)))
                        .hint("change to a project directory"));
    return {};
}

Result<WorldPlan> plan_world(const WorldSpec& asked, const HostFacts& facts) {
    SUB_TRY(check_machine(facts));
    SUB_TRY(check_project(asked.project.str(), facts));
    WorldPlan plan;
    WorldSpec spec = asked;
    SUB_TRY_ASSIGN(spec.fs, enforceable(asked.fs, plan, asked.project.str(), facts));
    plan.world_id = spec.world_id;
    plan.user_namespace = facts.user_namespace.ok;
    plan.uid_map = facts.uid_extents;
    plan.gid_map = facts.gid_extents;
    plan.network = spec.network;
    if (spec.network == NetworkMode::veth && !facts.veth.ok) plan.network = NetworkMode::gateway;
    if (facts.veth.ok) plan.network_name = spec.network_name;
    plan.door = WorldPath(kDoorPath);
    plan.seccomp = spec.seccomp;
    // Only in a user namespace of the world's own: else it would be the host's limit.
    plan.user_namespaces_inside = !plan.user_namespace || spec.seccomp != SeccompMode::enforce;
    plan.limits = with_defaults(spec.limits, facts);
    if (spec.network != NetworkMode::host && !facts.net_namespace.ok)
        return fail(
            Error(Errc::unsupported, "no network namespace for the world: " + facts.net_namespace.reason)
                .hint(facts.net_namespace.fix));
    const bool leads_out = spec.network == NetworkMode::gateway || spec.network == NetworkMode::veth;
    if (leads_out && !facts.nftables.ok)
        return fail(Error(Errc::unsupported,
                          "a world that may reach something needs nftables: " + facts.nftables.reason)
                        .hint(facts.nftables.fix));
    SUB_TRY_ASSIGN(plan.capture_record, choose_capture(spec, facts));
    plan.capture = {.strategy = plan.capture_record.final,
                    .project = spec.project,
                    .project_device = spec.project_device,
                    .project_inode = spec.project_inode,
                    .store = spec.store,
                    .user_xattrs = plan.user_namespace};

    if (plan.capture.strategy == CaptureStrategy::fuse) plan.capture.fuse_program = facts.fuse_binary;

    std::vector<MountOp> ops;
    add_root(ops, spec, facts, plan.limits);
    if (spec.network != NetworkMode::host) add_uplink(ops, plan, spec, facts);
    add_dev(ops, facts, plan.limits);
    add_proc(ops);
    add_fs_access(ops, plan, spec);
    SUB_TRY(add_guard(plan, spec, facts));
    add_masks(ops, facts);
    show_sockets(ops, plan, spec);
    hide_sockets(ops, plan, spec);
    SUB_TRY(set_apart_project_masks(ops, plan.capture));
    settle_masks(ops);
    SUB_TRY_ASSIGN(plan.mounts, normalize(std::move(ops)));
    add_landlock(plan, spec, facts);
    add_degradations(plan, spec, facts);
    return plan;
}

}  // namespace substrate::plan
