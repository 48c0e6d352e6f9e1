// --explain: what would be decided and made for a command.
#include <fmt/format.h>
#include <unistd.h>

#include "base/text.hpp"
#include "broker/broker.hpp"
#include "plan/world_plan.hpp"
#include "shell/commands.hpp"
#include "shell/doctor.hpp"
#include "shell/planned_world.hpp"
#include "supervisor/client.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "sys/tree_ops.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

std::string decision_text(const broker::Judgement& judgement) {
    const Decision& decision = judgement.verdict.decision;
    std::string text =
        fmt::format("{} ({}; policy {}{})", to_string(decision.action), printable(decision.reason),
                    printable(decision.policy_id), decision.rule.empty() ? "" : ", " + decision.rule);
    if (judgement.verdict.would_deny && !judgement.verdict.denied) text += ", observed: it would run";
    if (judgement.approved) text += ", approved before";
    return text;
}

}  // namespace

Result<PlannedWorld> planned_world(const Console& console, const ExecRequest& asked) {
    PlannedWorld planned;
    const auto roots = supervisor::capture_roots(console.env, console.home);
    const std::string home = world::home_of(console.env, ::geteuid());
    const std::string path = supervisor::find_project(asked.cwd, home);
    broker::Places places = broker::places_of(console.home.path, home, sys::effective_uid());
    places.cache.clear();  // nothing is made
    broker::Broker broker(console.env, places);
    planned.judgement = broker.judge(supervisor::question_of(asked, path, asked.session_id));
    planned.request = supervisor::tightened(asked, planned.judgement, {.project = path, .home = places.home},
                                            /*preview=*/false);
    // Reads and probes only; the store is where the next command would make it.
    const std::string scratch = probe_scratch(console);
    SUB_TRY_ASSIGN(auto facts,
                   world::probe_host(console.env, {supervisor::sibling_program("substrate-world-init"),
                                                   console.home.path, scratch}));
    const supervisor::Machine machine{.env = console.env,
                                      .facts = std::move(facts),
                                      .init_program = {},
                                      .cgroups = {},
                                      .capture_roots = roots};
    std::shared_ptr<const supervisor::NetworkOrder> net;
    if (planned.judgement.policies) {
        const auto reach = broker::command_reach(*planned.judgement.policies, path, places.home);
        const auto tools = broker::ToolHosts(places).read(reach);
        net = supervisor::network_order(*planned.judgement.policies, tools->hosts);
    }
    SUB_TRY_ASSIGN(planned.plan, supervisor::plan_project_world(
                                     machine, path, scratch,
                                     supervisor::wanted_for(machine, planned.request, std::move(net))));
    return planned;
}

int explain_command(const Console& console, const ExecRequest& asked) {
    const auto planned = planned_world(console, asked);
    if (!planned) return console.fail_with(planned.error());
    const ExecRequest& request = planned->request;
    console.out(fmt::format("command    {}\ndecision   {}\ncommit     {}\n",
                            printable(request.cmd.empty() ? shell_join(request.argv) : request.cmd),
                            decision_text(planned->judgement), to_string(request.commit)));
    for (const std::string& notice : planned->judgement.notices) console.note(notice);
    console.out(plan::to_text(planned->plan));
    return 0;
}

int explain_request(const Console& console, const std::string& text) {
    auto json = parse_json(text);
    if (!json) return console.fail_with(json.error());
    auto request = supervisor::exec_request_from_json(*json);
    if (!request) return console.fail_with(request.error());
    return explain_command(console, *request);
}

}  // namespace substrate::shell
