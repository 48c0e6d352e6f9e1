#include "plan/fs_layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/path_pattern.hpp"
#include "base/text.hpp"

namespace substrate::plan {
namespace {

constexpr const char* kWorldDeps = "/var/lib/substrate/world-deps";
constexpr int kLandlockTcpAbi = 4;  // KERNEL(6.7)
constexpr const char* kProjectAlias = "/project";

// Host directories at "/" that a world makes anew instead of showing.
constexpr std::array<std::string_view, 7> kOwn = {"proc", "sys", "dev", "run", "tmp", "lost+found", "boot"};

// What full isolation shows of the host, with /etc: programs and their libraries.
bool is_system(std::string_view name) {
    return name == "usr" || name == "etc" || name == "bin" || name == "sbin" || name.starts_with("lib");
}

// Places that a world makes for itself: to write there changes nothing on the host. Who names a
// directory below /tmp means the host's.
bool is_worlds_own(std::string_view path) {
    return path == "/tmp" || path == "/var/tmp" || path == "/run" || is_within(path, "/dev") ||
           is_within(path, "/proc");
}

// Wider than a policy can open: what the host's programs are, or all of it.
bool is_too_wide(std::string_view path, std::string_view project) {
    constexpr std::array<std::string_view, 5> kNever = {"/usr", "/etc", "/boot", "/sys", kStagingPath};
    return is_within(project, path) || path == "/var" ||
           std::ranges::any_of(kNever, [&](std::string_view never) { return is_within(path, never); });
}

bool covered(std::string_view path, const std::vector<WorldPath>& list) {
    return std::ranges::any_of(list, [&](const WorldPath& of) { return is_within(path, of.str()); });
}

bool inside_another(const std::string& path, const std::vector<std::string>& list) {
    return std::ranges::any_of(list,
                               [&](const std::string& of) { return of != path && is_within(path, of); });
}

// Instead of the read-only tree of the host's "/" that is there, if it is the same place.
void show(std::vector<MountOp>& ops, const std::string& path, bool read_only) {
    std::erase_if(ops, [&](const MountOp& op) {
        return op.target.str() == path && std::holds_alternative<Bind>(op.action);
    });
    ops.push_back(
        {WorldPath(path), Bind{.source = HostPath(path), .read_only = read_only, .optional = true}});
}

// Whether the rules leave all below `path` open.
bool permits_whole(const std::vector<FsRule>& rules, const std::string& path) {
    return std::ranges::all_of(rules, [&](const FsRule& rule) {
        const bool governed = std::ranges::any_of(rule.below, [&](const std::string& directory) {
            return is_within(path, directory) || is_within(directory, path);
        });
        if (!governed) return true;
        const auto patterns = PathPatterns::compile(rule.patterns);
        return patterns && patterns->names(path);
    });
}

// A rule for reading holds only what the world shows for its sake: the system and what the world
// makes for itself is there whole.
void keep_readable_rules(FsAccess& fs, WorldPlan& plan) {
    const auto is_there = [](std::string_view path) {
        const std::string_view first = path.substr(1, path.find('/', 1) - 1);
        return is_system(first) || is_worlds_own(path);
    };
    for (FsRule& rule : fs.read_rules)
        std::erase_if(rule.below, [&](const std::string& directory) {
            if (is_there(directory)) return true;
            if (directory != "/var" && directory != "/") return false;
            plan.degradations.push_back(
                {"fs", fmt::format("a pattern below '{}' opens nothing: it is too wide", directory),
                 "substrate policy show"});
            std::erase(fs.readable, directory);
            return true;
        });
    std::erase_if(fs.read_rules, [](const FsRule& rule) { return rule.below.empty(); });
}

void add_path(std::vector<WorldPath>& list, std::string_view path) {
    if (!covered(path, list)) list.emplace_back(std::string(path));
}

}  // namespace

void add_host_tree(std::vector<MountOp>& ops, const WorldSpec& spec, const HostFacts& facts) {
    const bool full = spec.fs.isolation == WorldFsIsolation::full;
    for (const RootEntry& entry : facts.root_entries) {
        const WorldPath target = WorldPath("/") / entry.name;
        if (std::ranges::find(kOwn, entry.name) != kOwn.end() || target.str() == kStagingPath) continue;
        if (full && !is_system(entry.name)) continue;
        if (!entry.link_target.empty()) ops.push_back({target, Symlink{entry.link_target}});
        else if (entry.directory)
            ops.push_back({target, Bind{.source = HostPath("/") / entry.name, .optional = true}});
    }
    ops.push_back(
        {WorldPath(kWorldDeps), Bind{.source = HostPath(kWorldDeps), .read_only = false, .optional = true}});
}

Result<FsAccess> enforceable(FsAccess fs, WorldPlan& plan, const std::string& project,
                             const HostFacts& facts) {
    keep_readable_rules(fs, plan);
    if (facts.path_guard.ok || (fs.write_rules.empty() && fs.read_rules.empty())) return fs;
    const std::string reason = "patterns of fs.write and fs.read open nothing: " + facts.path_guard.reason;
    if (fs.required) return fail(Error(Errc::unsupported, reason).hint(facts.path_guard.fix));
    plan.degradations.push_back({"fs", reason, facts.path_guard.fix});
    if (fs.project_writable && !fs.write_rules.empty()) {
        fs.project_writable = permits_whole(fs.write_rules, project);
    }
    std::erase_if(fs.writable, [&](const std::string& path) { return !permits_whole(fs.write_rules, path); });
    std::erase_if(fs.readable, [&](const std::string& path) { return !permits_whole(fs.read_rules, path); });
    fs.write_rules.clear();
    fs.read_rules.clear();
    return fs;
}

void add_fs_access(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec) {
    const std::string& project = spec.project.str();
    const bool full = spec.fs.isolation == WorldFsIsolation::full;
    const auto refuse = [&](std::string reason) {
        plan.degradations.push_back({"fs", std::move(reason), "substrate policy show"});
    };
    plan.capture.read_only = !spec.fs.project_writable;
    for (const std::string& path : spec.fs.writable) {
        if (path == project) continue;
        if (is_within(path, project)) {
            if (plan.capture.read_only) plan.capture.writable.push_back(path.substr(project.size() + 1));
            continue;
        }
        // In another one commands can write already, and so put a link on the way to it.
        if (is_worlds_own(path) || inside_another(path, spec.fs.writable)) continue;
        if (full || is_too_wide(path, project)) {
            refuse(fmt::format("'{}' stays read-only: {}", printable(path),
                               full ? "full isolation shows nothing outside the project writable"
                                    : "worlds do not open it for writing"));
        } else {
            show(ops, path, /*read_only=*/false);
        }
    }
    if (full) {
        for (const std::string& path : spec.fs.readable)
            if (!is_within(path, project) && !is_within(project, path) && !is_worlds_own(path))
                show(ops, path, /*read_only=*/true);
        if (!is_within(project, kProjectAlias)) plan.capture.alias = WorldPath(kProjectAlias);
    }
    for (const std::string& path : spec.fs.hidden) ops.push_back({WorldPath(path), Mask{}});
    for (const std::string& reason : spec.fs.unenforced) refuse(reason);
}

std::vector<std::string> shown_sockets(const std::vector<MountOp>& mounts, const CapturePlan& capture,
                                       const std::vector<std::string>& sockets) {
    std::vector<std::string> shown;
    for (const std::string& socket : sockets) {
        if (is_within(socket, capture.project.str())) continue;
        // The deepest operation decides what is there; of two in one place, a mask.
        const MountOp* nearest = nullptr;
        for (const MountOp& op : mounts) {
            if (!is_within(socket, op.target.str())) continue;
            const auto deeper = [&] { return op.target.str().size() > nearest->target.str().size(); };
            if (nearest == nullptr || deeper() ||
                (op.target == nearest->target && std::holds_alternative<Mask>(op.action)))
                nearest = &op;
        }
        if (nearest != nullptr && std::holds_alternative<Bind>(nearest->action)) shown.push_back(socket);
    }
    return shown;
}

std::string socket_notice(const std::string& path, const std::string& reason) {
    return fmt::format("net.unix \"{}\" opens nothing: {}", printable(path), reason);
}

std::vector<std::string> named_sockets(const WorldPlan& plan) {
    std::vector<std::string> paths;
    for (const MountOp& op : plan.mounts)
        if (std::holds_alternative<HostSocket>(op.action)) paths.push_back(op.target.str());
    return paths;
}

void show_sockets(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec) {
    const auto denied = PathPatterns::compile(spec.fs.denied);
    const auto why_not = [&](const std::string& path) -> std::string {
        if (is_within(path, spec.project.str()))
            return "it lies in the project, whose sockets are the world's own";
        for (const std::string_view own : {"/proc", "/sys", kStagingPath, kDoorPath})
            if (is_within(path, own)) return "worlds have a " + std::string(own) + " of their own";
        for (const MountOp& op : ops)
            if (std::holds_alternative<Mask>(op.action) && is_within(path, op.target.str()))
                return "it lies in " + printable(op.target.str()) + ", which is hidden";
        return denied && denied->names(path) ? "fs.deny refuses it" : "";
    };
    for (const NamedSocket& socket : spec.named_sockets) {
        const std::string reason = socket.problem.empty() ? why_not(socket.path) : socket.problem;
        if (reason.empty()) {
            std::erase_if(ops, [&](const MountOp& op) { return op.target.str() == socket.path; });
            ops.push_back({WorldPath(socket.path), HostSocket{}});
        } else {
            plan.degradations.push_back({"sockets", socket_notice(socket.path, reason),
                                         fmt::format("substrate why socket {}", shell_join({socket.path}))});
        }
    }
}

void hide_sockets(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec) {
    for (const std::string& socket : shown_sockets(ops, plan.capture, spec.sockets))
        ops.push_back({WorldPath(socket), Mask{}});
    if (!spec.sockets_unknown.empty())
        plan.degradations.push_back(
            {"sockets",
             "the host's sockets outside /run and /tmp can be connected to: " + spec.sockets_unknown, ""});
}

Result<> add_guard(WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts) {
    const std::string& project = spec.project.str();
    GuardPlan guard{.patterns = spec.fs.denied,
                    .paths = {},
                    .write_rules = spec.fs.write_rules,
                    .read_rules = spec.fs.read_rules};
    for (const std::string& path : spec.fs.hidden)
        if (path != project && is_within(path, project)) guard.paths.emplace_back(path);
    if (guard == GuardPlan{}) return {};
    if (facts.path_guard.ok) {
        plan.guard = std::move(guard);
        return {};
    }
    const std::string reason =
        guard.patterns.empty()
            ? "denied paths of the project that do not exist can be made: " + facts.path_guard.reason
            : "the patterns of fs.deny are not enforced: " + facts.path_guard.reason;
    if (spec.fs.required) return fail(Error(Errc::unsupported, reason).hint(facts.path_guard.fix));
    plan.degradations.push_back({"fs", reason, facts.path_guard.fix});
    return {};
}

void add_landlock(WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts) {
    if (spec.tcp_ports)
        plan.degradations.push_back(
            {"network",
             facts.landlock_abi >= kLandlockTcpAbi
                 ? "on the host's network net.allowed holds by TCP port only, not by name, and UDP is open"
                 : "on the host's network nothing of net.allowed is held: this kernel's Landlock knows no "
                   "ports",
             "world.isolate_network: true"});
    // Without the right to allow them, ABI 1 forbids renames between directories.
    if (facts.landlock_abi < 2) {
        plan.degradations.push_back({"landlock",
                                     facts.landlock_abi == 0
                                         ? "the kernel has no Landlock, or it is switched off"
                                         : "Landlock of this kernel would forbid renames between directories",
                                     "boot with landlock in the lsm= list, Linux 5.19 or newer"});
        return;
    }
    LandlockPlan& landlock = plan.landlock;
    landlock.abi = std::min(facts.landlock_abi, kLandlockKnownAbi);
    landlock.restricts_reading = spec.fs.isolation == WorldFsIsolation::full;
    landlock.scopes_signals = spec.single_use;
    if (landlock.abi >= kLandlockTcpAbi) landlock.tcp_ports = spec.tcp_ports;
    for (const MountOp& op : plan.mounts) {
        const std::string& target = op.target.str();
        const auto* bind = std::get_if<Bind>(&op.action);
        const auto* tmpfs = std::get_if<Tmpfs>(&op.action);
        const bool opened = is_within(target, "/dev") || (bind != nullptr && !bind->read_only) ||
                            (tmpfs != nullptr && !tmpfs->read_only);
        if (opened) add_path(landlock.writable, target);
        else if (landlock.restricts_reading && (bind != nullptr || std::holds_alternative<Proc>(op.action)))
            add_path(landlock.readable, target);
    }
}

}  // namespace substrate::plan
