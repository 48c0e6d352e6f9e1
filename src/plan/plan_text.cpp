// The text form of a WorldPlan: what --explain prints and golden tests hold.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "plan/world_plan.hpp"

namespace substrate::plan {
namespace {

std::string id_map_text(const std::vector<IdExtent>& extents) {
    std::string text;
    for (const IdExtent& extent : extents)
        text += fmt::format("{}{}+{}", text.empty() ? "" : ", ", extent.first, extent.count);
    return text;
}

std::string landlock_text(const LandlockPlan& landlock) {
    if (landlock.abi == 0) return "landlock   not in use\n";
    std::string text = fmt::format("landlock   ABI {}", landlock.abi);
    if (landlock.abi >= 6)
        text +=
            fmt::format("; outside it no abstract sockets{}", landlock.scopes_signals ? ", no signals" : "");
    if (landlock.tcp_ports)
        text +=
            fmt::format("; TCP to {}", landlock.tcp_ports->empty()
                                           ? "no port"
                                           : fmt::format("ports {}", fmt::join(*landlock.tcp_ports, " ")));
    text += '\n';
    const auto list = [&](const char* what, const std::vector<WorldPath>& paths) {
        text += fmt::format("           {}", what);
        for (const WorldPath& path : paths) text += " " + printable(path.str());
        text += '\n';
    };
    list("writes", landlock.writable);
    if (landlock.restricts_reading) list("reads ", landlock.readable);
    return text;
}

std::string rules_text(const char* what, const std::vector<FsRule>& rules) {
    std::string text;
    for (const FsRule& rule : rules) {
        text += fmt::format("by name    {} below", what);
        for (const std::string& directory : rule.below) text += " " + printable(directory);
        text += '\n';
        for (const std::string& pattern : rule.patterns) text += "           " + printable(pattern) + '\n';
    }
    return text;
}

std::string limits_text(const Limits& limits) {
    std::string text = "limits    ";
    if (limits.cpu_millis != 0) text += fmt::format(" cpu {:g}", limits.cpu_millis / 1000.0);
    if (limits.memory_bytes != 0)
        text +=
            fmt::format(" memory {}{}", limits.memory_bytes, limits.memory_is_default ? " (default)" : "");
    if (limits.pids != 0)
        text += fmt::format(" pids {}{}{}", limits.pids, limits.pids_is_default ? " (default)" : "",
                            limits.pids_by_user ? " (by user namespace)" : "");
    for (const auto& [name, most] : {std::pair{"read_bps", limits.io.read_bps},
                                     {"write_bps", limits.io.write_bps},
                                     {"read_iops", limits.io.read_iops},
                                     {"write_iops", limits.io.write_iops}})
        if (most != 0) text += fmt::format(" {} {}", name, most);
    return text + "\n";
}

std::string network_text(const WorldPlan& plan) {
    if (plan.network == NetworkMode::host) return "the host's";
    std::string text = plan.network == NetworkMode::loopback ? "loopback only" : to_string(plan.network);
    if (!plan.uplink.table.empty()) text += fmt::format(", table inet {}", plan.uplink.table);
    if (plan.network != NetworkMode::loopback && !plan.uplink.ipv6) text += ", no IPv6";
    for (const IpNetwork& network : plan.uplink.networks) text += " " + network.text();
    if (!plan.network_name.empty()) text += fmt::format(", named {}", printable(plan.network_name));
    return text;
}

}  // namespace

const char* to_string(NetworkMode mode) {
    switch (mode) {
        case NetworkMode::loopback: return "loopback";
        case NetworkMode::gateway: return "gateway";
        case NetworkMode::veth: return "veth";
        case NetworkMode::host: return "host";
    }
    return "?";
}

std::string to_text(const WorldPlan& plan) {
    std::string text = fmt::format("world      {}\n", plan.world_id);
    text += fmt::format("namespaces {}mount pid ipc uts{}\n", plan.user_namespace ? "user " : "",
                        plan.network == NetworkMode::host ? "" : " net");
    if (plan.user_namespace)
        text += fmt::format("ids        uid {}; gid {} (identity)\n", id_map_text(plan.uid_map),
                            id_map_text(plan.gid_map));
    text += fmt::format("hostname   {}\n", plan.hostname);
    text += fmt::format("network    {}\n", network_text(plan));
    text += fmt::format("process    no capabilities, no_new_privs, seccomp {}{}\n", to_string(plan.seccomp),
                        plan.user_namespaces_inside ? "" : ", no user namespaces");
    text += fmt::format("capture    {} of {}", to_string(plan.capture.strategy),
                        printable(plan.capture.project.str()));
    if (plan.capture.strategy != CaptureStrategy::direct)
        text += fmt::format(", kept in {}", printable(plan.capture.store.str()));
    text += '\n';
    if (!plan.capture_record.fallback_reason.empty())
        text += fmt::format("           instead of {} ({})\n", to_string(plan.capture_record.primary),
                            printable(plan.capture_record.fallback_reason));
    for (const MountOp& op : plan.mounts) text += "mount      " + to_text(op) + '\n';
    text += fmt::format("mount      project  {} by {}\n", printable(plan.capture.project.str()),
                        to_string(plan.capture.strategy));
    if (plan.capture.read_only)
        text += fmt::format("           read-only{}\n", plan.capture.writable.empty() ? "" : " but for");
    for (const std::string& part : plan.capture.writable)
        text += fmt::format("           {}\n", printable(part));
    if (!plan.capture.alias.empty())
        text += fmt::format("           and as {}\n", printable(plan.capture.alias.str()));
    for (const WorldPath& mask : plan.capture.masks)
        text += fmt::format("mount      mask     {}\n", printable(mask.str()));
    for (const std::string& pattern : plan.guard.patterns)
        text += fmt::format("denied     {}\n", printable(pattern));
    for (const WorldPath& path : plan.guard.paths)
        text += fmt::format("denied     {} (by name, where it does not exist yet)\n", printable(path.str()));
    text += rules_text("writes", plan.guard.write_rules) + rules_text("reads ", plan.guard.read_rules);
    if (!plan.door.empty())
        text +=
            fmt::format("door       {} (what runs substrate inside is judged)\n", printable(plan.door.str()));
    text += landlock_text(plan.landlock);
    if (plan.limits.any()) text += limits_text(plan.limits);
    for (const Degradation& degradation : plan.degradations)
        text += fmt::format("degraded   {}: {}{}\n", degradation.component, printable(degradation.reason),
                            degradation.fix.empty() ? "" : fmt::format(" ({})", degradation.fix));
    return text;
}

}  // namespace substrate::plan
