#include <fmt/format.h>

#include "base/text.hpp"
#include "broker/broker.hpp"
#include "egress/access_rules.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "supervisor/network.hpp"

namespace substrate::shell {
namespace {

policy::NetVerdict verdict_of(const broker::PolicySet& policies, const policy::PresetHosts& presets,
                              const policy::HostPort& to) {
    if (!policies.isolate_network())
        return {.allowed = true,
                .rule = "world.isolate_network",
                .pattern = "false",
                .policy_id = policies.id(),
                .reason = "worlds share the host's network"};
    if (policies.net_path() == NetPath::none)
        return {.rule = "net.mode",
                .pattern = "none",
                .policy_id = policies.id(),
                .reason = "worlds reach nothing"};
    // As the gateway reads them.
    const auto rules =
        egress::AccessRules::read(egress::AccessRules::write(supervisor::network_layers(policies), presets));
    if (!rules) return {.reason = rules.error().message()};
    return rules->decide(to.host, to.port);
}

}  // namespace

int why_host(const Console& console, const WhyHostOptions& options) {
    const auto to = policy::read_host_port(options.host);
    if (!to) return console.fail_with(to.error());
    const auto ground = policy_ground(console, options.cwd);
    if (!ground) return console.fail_with(ground.error());
    broker::Broker broker(console.env, ground->places);
    const auto in_force = broker.in_force(ground->cwd, ground->project);
    if (!in_force.set)
        return console.fail_with(Error(Errc::denied, "no policy can be read, so nothing is reached")
                                     .hint("substrate policy validate"));
    broker::ToolHosts tools(ground->places);
    const auto read = tools.read(broker::command_reach(*in_force.set, ground->project, ground->places.home));
    const policy::NetVerdict verdict = verdict_of(*in_force.set, read->hosts, *to);
    const std::string host = policy::to_text(to->host);
    const int exit = verdict.allowed ? 0 : to_int(ExitCode::denied);
    if (options.json) {
        Json json{{"host", host},
                  {"port", to->port},
                  {"allowed", verdict.allowed},
                  {"policy_id", verdict.policy_id}};
        put_bytes(json, "rule", verdict.rule);
        put_bytes(json, "pattern", verdict.pattern);
        put_bytes(json, "reason", verdict.reason);
        put_bytes(json, "source", verdict.source);
        console.out(dump_json_pretty(json) + "\n");
        return exit;
    }
    std::string text;
    const auto line = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) text += fmt::format("{:<12}{}\n", name, value);
    };
    line("host", fmt::format("{} port {}", host, to->port));
    line("directory", printable(ground->cwd));
    line("decision", verdict.allowed ? "allowed" : "refused");
    line("because", printable(verdict.reason));
    if (!verdict.rule.empty())
        line("rule", fmt::format("{} \"{}\"", verdict.rule, printable(verdict.pattern)));
    if (!verdict.source.empty()) line("named by", printable(verdict.source));
    line("policy", verdict.policy_id);
    if (verdict.allowed && std::holds_alternative<policy::DomainName>(to->host) &&
        in_force.set->isolate_network())
        line("still", "where the name leads is judged when it is connected to");
    if (!verdict.allowed && broker::ToolHosts::wanted(*in_force.set))
        for (const std::string& ignored : read->ignored) line("settings", ignored);
    console.out(text);
    return exit;
}

}  // namespace substrate::shell
