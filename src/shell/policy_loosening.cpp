#include "shell/policy_loosening.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "base/text.hpp"

namespace substrate::shell {
namespace {

using Texts = std::vector<std::string>;

class Comparison {
  public:
    Comparison(const Policy& before, const Policy& after) : before_(before), after_(after) {}

    std::vector<std::string> run() {
        modes();
        commands();
        approval();
        files();
        network();
        world();
        return std::move(lines_);
    }

  private:
    // What holds back and is gone.
    void lost(std::string_view name, const Texts& before, const Texts& after) {
        for (const std::string& item : missing(before, after))
            lines_.push_back(fmt::format("{} no longer has: {}", name, printable(item)));
    }
    // What lets through and is new.
    void gained(std::string_view name, const Texts& before, const Texts& after) {
        for (const std::string& item : missing(after, before))
            lines_.push_back(fmt::format("{} also has: {}", name, printable(item)));
    }
    void changed(std::string_view name, bool looser, std::string_view before, std::string_view after) {
        if (looser) lines_.push_back(fmt::format("{}: {} instead of {}", name, after, before));
    }
    void flag(std::string_view name, bool before, bool after, bool loose) {
        changed(name, before != loose && after == loose, before ? "true" : "false", after ? "true" : "false");
    }
    // 0 is "no limit".
    void limit(std::string_view name, std::uint64_t before, std::uint64_t after) {
        const bool looser = before != 0 && (after == 0 || after > before);
        if (looser) lines_.push_back(fmt::format("{}: {}", name, after == 0 ? "no limit" : "a higher limit"));
    }
    // A list that restricts only when it is not empty.
    void allowlist(std::string_view name, const Texts& before, const Texts& after) {
        if (before.empty()) return;
        if (after.empty()) lines_.push_back(fmt::format("{}: everything, instead of a list", name));
        else gained(name, before, after);
    }
    // Where nothing was said before, what is said now is worth showing.
    void paths(std::string_view name, const Texts& before, const Texts& after) {
        if (before.empty()) gained(name, before, after);
        else allowlist(name, before, after);
    }
    static Texts missing(const Texts& from, const Texts& in) {
        const std::set<std::string_view> there(in.begin(), in.end());
        Texts out;
        for (const std::string& item : from)
            if (!there.contains(item)) out.push_back(item);
        return out;
    }

    void modes() {
        changed("mode", before_.mode == PolicyMode::enforce && after_.mode == PolicyMode::observe, "enforce",
                "observe");
        flag("allow_shell_operators", before_.allow_shell_operators, after_.allow_shell_operators, true);
    }
    void commands() {
        const CommandRules &before = before_.commands, &after = after_.commands;
        lost("commands.denied", before.denied, after.denied);
        lost("commands.isolated", before.isolated, after.isolated);
        allowlist("commands.allowed", before.allowed, after.allowed);
        gained("commands.direct", before.direct, after.direct);
        const auto freedom = [](UnresolvedRule rule) {
            return rule == UnresolvedRule::deny ? 0 : rule == UnresolvedRule::ask ? 1 : 2;
        };
        changed("commands.unresolved", freedom(after.unresolved) > freedom(before.unresolved),
                to_string(before.unresolved), to_string(after.unresolved));
    }
    void approval() {
        const ApprovalRules &before = before_.approval, &after = after_.approval;
        if (before.require_all && !after.require_all)
            lines_.emplace_back("approval.require: not every command any more");
        if (!after.require_all) lost("approval.require", before.require, after.require);
        gained("approval.auto_approve", before.auto_approve, after.auto_approve);
        flag("approval.interactive", before.interactive, after.interactive, true);
        limit("approval.timeout", static_cast<std::uint64_t>(before.timeout_ms),
              static_cast<std::uint64_t>(after.timeout_ms));
    }
    void files() {
        lost("fs.deny", before_.fs.deny, after_.fs.deny);
        paths("fs.read", before_.fs.read, after_.fs.read);
        paths("fs.write", before_.fs.write, after_.fs.write);
        const WorldFsRules &before = before_.world_fs, &after = after_.world_fs;
        changed("world_fs.mode", before.mode == WorldFsMode::read_only && after.mode == WorldFsMode::writable,
                "read_only", "writable");
        changed("world_fs.isolation",
                before.isolation == WorldFsIsolation::full && after.isolation == WorldFsIsolation::workspace,
                "full", "workspace");
        allowlist("world_fs.read_allowlist", before.read_allowlist, after.read_allowlist);
        allowlist("world_fs.write_allowlist", before.write_allowlist, after.write_allowlist);
        flag("world_fs.require_world", before.require_world, after.require_world, false);
    }
    void network() {
        const NetRules &before = before_.net, &after = after_.net;
        if (before.allowed) {
            if (after.allowed) gained("net.allowed", *before.allowed, *after.allowed);
            else lines_.emplace_back("net.allowed: no list any more");
        }
        lost("net.denied", before.denied, after.denied);
        gained("net.unix", before.unix_sockets.value_or(Texts{}), after.unix_sockets.value_or(Texts{}));
        const NetPath path = before.mode.value_or(NetPath::gateway);
        changed("net.mode", after.mode.value_or(NetPath::gateway) > path, to_string(path),
                to_string(after.mode.value_or(NetPath::gateway)));
        flag("net.dns.pinned", before.dns_pinned, after.dns_pinned, false);
        limit("net.egress_budget.bytes_per_sec", before.egress_bytes_per_sec, after.egress_bytes_per_sec);
        limit("net.egress_budget.total_bytes", before.egress_total_bytes, after.egress_total_bytes);
        limit("net.egress_budget.max_egress_bytes", before.egress_command_bytes, after.egress_command_bytes);
    }
    void world() {
        const WorldRules &before = before_.world, &after = after_.world;
        flag("world.isolate_network", before.isolate_network, after.isolate_network, false);
        flag("world.reuse_session", before.reuse_session, after.reuse_session, true);
        flag("world.exec_tap", before.exec_tap, after.exec_tap, false);
        changed("world.seccomp", after.seccomp > before.seccomp, to_string(before.seccomp),
                to_string(after.seccomp));
        changed("world.commit", after.commit < before.commit, to_string(before.commit),
                to_string(after.commit));
        limit("world.limits.cpu", before.limits.cpu_millis, after.limits.cpu_millis);
        limit("world.limits.memory", before.limits.memory_bytes, after.limits.memory_bytes);
        limit("world.limits.pids", before.limits.pids, after.limits.pids);
        limit("world.limits.runtime", static_cast<std::uint64_t>(before.limits.runtime_ms),
              static_cast<std::uint64_t>(after.limits.runtime_ms));
        limit("world.limits.io.read_bps", before.limits.io.read_bps, after.limits.io.read_bps);
        limit("world.limits.io.write_bps", before.limits.io.write_bps, after.limits.io.write_bps);
        limit("world.limits.io.read_iops", before.limits.io.read_iops, after.limits.io.read_iops);
        limit("world.limits.io.write_iops", before.limits.io.write_iops, after.limits.io.write_iops);
        flag("world.high_isolation.enabled", before.high_isolation.enabled, after.high_isolation.enabled,
             false);
        const auto texts = [](const std::vector<std::uint16_t>& ports) {
            Texts out;
            for (const std::uint16_t port : ports) out.push_back(std::to_string(port));
            return out;
        };
        gained("world.publish", texts(before.publish), texts(after.publish));
        if (before.backend != after.backend && !before.backend.empty())
            lines_.push_back(
                fmt::format("world.backend: {} instead of {}",
                            after.backend.empty() ? "the machine's own" : printable(after.backend),
                            printable(before.backend)));
        gained("env.pass", before_.env.pass, after_.env.pass);
        for (const auto& [name, value] : after_.env.set) {
            const auto old = before_.env.set.find(name);
            if (old == before_.env.set.end() || old->second != value)
                lines_.push_back(fmt::format("env.set: {}={}", printable(name), printable(value)));
        }
        lost("privacy.ignore_paths", before_.privacy.ignore_paths, after_.privacy.ignore_paths);
    }

    const Policy& before_;
    const Policy& after_;
    std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> loosened(const Policy& before, const Policy& after) {
    return Comparison(before, after).run();
}

}  // namespace substrate::shell
