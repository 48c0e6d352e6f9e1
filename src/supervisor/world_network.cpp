#include "supervisor/world_network.hpp"

#include <utility>
#include <vector>

#include "world/uplink.hpp"

namespace substrate::supervisor {

Result<> prepare_network(const Machine& machine, SessionWorld& world,
                         const std::shared_ptr<const NetworkOrder>& order, Network::Command command,
                         ExecResult& result) {
    // Only of a session, which keeps its world.
    if (!same_networks(order, world.net))
        return fail(
            Error(Errc::conflict, "the policy wants another network for this command than this session has")
                .hint("begin another session"));
    if (!world.net) return {};
    machine.network->attribute(world.id(), std::move(command));
    // A shell's world has sent them when the shell began.
    if (!world.served && world.world.has_uplink()) open_uplink(machine, world, result);
    return world.served ? world.served->change(order) : Result<>();
}

namespace {

void name_network(SessionWorld& world, int network, ExecResult& result) {
    auto named = world::NetworkName::give(network, world.plan.network_name);
    if (named) {
        world.named = std::move(*named);
        return;
    }
    // Nor is it for gc to take a name from who has it.
    const auto store = Store::open_existing(world.plan.capture.store.str());
    if (store) (void)store->note_network(world.id(), {});
    result.span.degraded.push_back({"netns", named.error().message(), named.error().advice()});
}

// The other end of the world's pair, and sets that are filled: only then the command may begin.
Result<> connect_link(const Machine& machine, SessionWorld& world, int network,
                      const std::vector<sys::UniqueFd>& sockets) {
    SUB_TRY_ASSIGN(world.link, world::HostLink::make(network, world.plan.uplink));
    SUB_TRY_ASSIGN(world.served,
                   Network::serve(machine.network, world.id(), world.net, sockets,
                                  Network::Kernel{world.plan.uplink.table, world.link->ipv6()}));
    return world.world.link(world.link->order());
}

}  // namespace

void open_uplink(const Machine& machine, SessionWorld& world, ExecResult& result) {
    world::PassedUplink passed = world::sorted_uplink(world.world.take_uplink(), world.plan);
    if (!world.plan.network_name.empty()) name_network(world, passed.network.get(), result);
    if (world.plan.network == plan::NetworkMode::loopback) return;
    if (world.plan.network == plan::NetworkMode::veth) {
        // The world says why it has not begun.
        if (auto linked = connect_link(machine, world, passed.network.get(), passed.served); !linked)
            (void)world.world.link({.problem = linked.error().describe()});
    } else {
        auto served = Network::serve(machine.network, world.id(), world.net, passed.served);
        if (served) world.served = std::move(*served);
        else result.notices.push_back("no network: " + served.error().describe());
    }
    if (world.served) world.served->count_refused(std::move(passed.rules), world.plan.uplink.table);
}

void follow_ports(const Machine& machine, SessionWorld& world, const broker::PolicySet& policies,
                  ExecResult& result) {
    if (!machine.ports || !world.ports) return;
    for (std::string& notice : machine.ports->follow(world.id(), policies.publish()))
        result.notices.push_back(std::move(notice));
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
