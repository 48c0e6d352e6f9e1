#include "supervisor/world_network.hpp"

#include <utility>
#include <vector>

namespace substrate::supervisor {

Result<> prepare_network(const Machine& machine, SessionWorld& world,
                         const std::shared_ptr<const NetworkOrder>& order, Network::Command command,
                         ExecResult& result) {
    const bool same = order && world.net ? order->networks == world.net->networks : order == world.net;
    // Only of a session, which keeps its world.
    if (!same)
        return fail(
            Error(Errc::conflict, "the policy wants another network for this command than this session has")
                .hint("begin another session"));
    if (!world.net) return {};
    machine.network->attribute(world.id(), std::move(command));
    // A shell's world has sent them when the shell began.
    if (!world.served && world.world.has_uplink()) open_uplink(machine, world, result);
    return world.served ? world.served->change(order) : Result<>();
}

void open_uplink(const Machine& machine, SessionWorld& world, ExecResult& result) {
    const std::vector<sys::UniqueFd> sockets = world.world.take_uplink();
    auto served = Network::serve(machine.network, world.id(), world.net, sockets);
    if (served) world.served = std::move(*served);
    else result.notices.push_back("no network: " + served.error().describe());
}

std::uint64_t ask_network(const Machine& machine, const SessionWorld& world) {
    return world.net ? machine.network->ask_used(world.id()) : 0;
}

void note_network(const Machine& machine, const SessionWorld& world, std::uint64_t asked,
                  ExecResult& result) {
    if (!world.net) return;
    for (const std::string& problem : world.net->problems) result.notices.push_back("network: " + problem);
    Network::Used used = machine.network->take_used(world.id(), asked);
    for (const std::string& host : used.hosts) result.span.scopes_used.push_back("net:" + host);
    for (std::string& notice : used.notices) result.notices.push_back(std::move(notice));
    const bool plain = result.span.outcome == Outcome::ok || result.span.outcome == Outcome::failed;
    if (used.budget_exhausted && plain) {
        result.span.outcome = Outcome::budget;
        if (result.span.outcome_reason.empty()) result.span.outcome_reason = "egress";
    }
}

}  // namespace substrate::supervisor
