#include "supervisor/network_order.hpp"

#include <utility>

#include "egress/access_rules.hpp"

namespace substrate::supervisor {
namespace {

constexpr const char* kCounted = "a budget of bytes is counted by the gateway only";

}  // namespace

void open_nothing(std::vector<Policy>& layers) {
    for (Policy& layer : layers) layer.net.allowed.emplace();
}

NetworkGrants network_grants(const std::vector<broker::ScopeGrantPtr>& grants) {
    NetworkGrants made;
    for (const broker::ScopeGrantPtr& grant : grants) {
        if (grant->scope.kind != broker::ScopeKind::net) continue;
        made.agent_id = grant->agent_id;
        made.hosts.push_back(grant->scope.value);
    }
    return made;
}

std::vector<Policy> network_layers(const broker::PolicySet& policies,
                                   const std::vector<std::string>& granted) {
    std::vector<Policy> layers;
    for (const broker::Layer& layer : policies.layers()) {
        layers.push_back(layer.policy);
        auto& allowed = layers.back().net.allowed;
        if (layer.role == broker::LayerRole::managed) {
            // What binds the whole machine need not say what each project reaches.
            if (!allowed) allowed = std::vector<std::string>{"*"};
        } else if (!granted.empty()) {
            if (!allowed) allowed.emplace();
            allowed->insert(allowed->end(), granted.begin(), granted.end());
        }
    }
    if (policies.net_path() == NetPath::none) open_nothing(layers);
    return layers;
}

std::shared_ptr<const NetworkOrder> network_order(const broker::PolicySet& policies,
                                                  const policy::PresetHosts& presets,
                                                  const NetworkGrants& grants) {
    if (!policies.isolate_network()) return nullptr;
    auto order = std::make_shared<NetworkOrder>();
    order->rules = egress::AccessRules::write(network_layers(policies, grants.hosts), presets);
    const auto rules = egress::AccessRules::read(order->rules);
    if (!rules || rules->closed()) return nullptr;
    order->networks = rules->networks();
    order->problems = rules->problems();
    const bool counted =
        rules->total_bytes() != 0 || rules->command_bytes() != 0 || rules->bytes_per_sec() != 0;
    order->veth = policies.net_path() == NetPath::veth && !counted;
    if (policies.net_path() == NetPath::veth && counted) order->no_veth = kCounted;
    order->granted_to = grants.agent_id;
    return order;
}

std::shared_ptr<const NetworkOrder> counted(const NetworkOrder& order) {
    auto changed = std::make_shared<NetworkOrder>(order);
    if (std::exchange(changed->veth, false)) changed->no_veth = kCounted;
    return changed;
}

}  // namespace substrate::supervisor
