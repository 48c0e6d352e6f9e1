#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "codec/json_value.hpp"
#include "model/exit_codes.hpp"
#include "policy/fs_access.hpp"
#include "shell/planned_world.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

struct SocketVerdict {
    bool allowed = false;
    std::string rule, pattern, policy_id, reason;
};

// The entry of the policy that governs: of those that must agree, the one that a person would edit.
void find_entry(const broker::PolicySet& policies, const std::string& path,
                const policy::PatternValues& values, SocketVerdict& verdict) {
    verdict.policy_id = policies.id();
    for (const broker::Layer& layer : policies.layers()) {
        const auto& named = layer.policy.net.unix_sockets;
        if (layer.role != broker::LayerRole::chosen || !named) continue;
        std::vector<std::string> problems;
        for (std::size_t i = 0; i < named->size(); ++i) {
            if (policy::named_sockets({(*named)[i]}, values, problems) != std::vector{path}) continue;
            verdict.rule = "net.unix[" + std::to_string(i) + "]";
            verdict.pattern = (*named)[i];
            return;
        }
    }
}

SocketVerdict verdict_of(const PlannedWorld& planned, const std::string& path,
                         const policy::PatternValues& values) {
    SocketVerdict verdict;
    if (planned.judgement.policies) find_entry(*planned.judgement.policies, path, values, verdict);
    const std::vector<std::string> shown = plan::named_sockets(planned.plan);
    if (std::ranges::find(shown, path) != shown.end()) {
        verdict.allowed = true;
        return verdict;
    }
    if (std::ranges::find(planned.request.fs.sockets, path) == planned.request.fs.sockets.end()) {
        verdict.reason = verdict.rule.empty()
                             ? "net.unix does not name it"
                             : "another policy that holds as well does not name it in net.unix";
        return verdict;
    }
    const std::string named = plan::socket_notice(path, {});
    for (const Degradation& each : planned.plan.degradations)
        if (each.reason.starts_with(named)) verdict.reason = each.reason.substr(named.size());
    return verdict;
}

}  // namespace

int why_socket(const Console& console, const WhySocketOptions& options) {
    const auto ground = policy_ground(console, options.cwd);
    if (!ground) return console.fail_with(ground.error());
    const policy::PatternValues values{.project = ground->project, .home = ground->places.home};
    std::vector<std::string> problems;
    const auto path = policy::named_sockets({options.path}, values, problems);
    if (path.empty())
        return console.fail_with(
            Error(Errc::invalid, "'" + printable(options.path) + "' is no path of a socket")
                .hint("its full path, from / on"));
    ExecRequest request;
    request.cmd = "true";
    request.cwd = ground->cwd;
    const auto planned = planned_world(console, request);
    if (!planned) return console.fail_with(planned.error());
    const SocketVerdict verdict = verdict_of(*planned, path.front(), values);
    const int exit = verdict.allowed ? 0 : to_int(ExitCode::denied);
    if (options.json) {
        Json json{{"allowed", verdict.allowed}, {"policy_id", verdict.policy_id}};
        put_bytes(json, "socket", path.front());
        put_bytes(json, "rule", verdict.rule);
        put_bytes(json, "pattern", verdict.pattern);
        put_bytes(json, "reason", verdict.reason);
        console.out(dump_json_pretty(json) + "\n");
        return exit;
    }
    std::string text;
    const auto line = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) text += fmt::format("{:<12}{}\n", name, value);
    };
    line("socket", printable(path.front()));
    line("directory", printable(ground->cwd));
    line("decision", verdict.allowed ? "allowed" : "refused");
    line("because", verdict.reason);
    if (!verdict.rule.empty())
        line("rule", fmt::format("{} \"{}\"", verdict.rule, printable(verdict.pattern)));
    line("policy", verdict.policy_id);
    console.out(text);
    return exit;
}

}  // namespace substrate::shell
