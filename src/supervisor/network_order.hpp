#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ip_address.hpp"
#include "broker/broker.hpp"
#include "broker/policy_set.hpp"
#include "policy/net_access.hpp"

namespace substrate::supervisor {

// What a set of policies lets worlds reach, ready for the gateway and the kernel.
struct NetworkOrder {
    std::string rules;  // egress::AccessRules::write
    std::vector<IpNetwork> networks;
    std::vector<std::string> problems;  // entries that are not understood
    bool veth = false;                  // by address, through the kernel
    std::string no_veth;                // why not, where the policies ask for it
    // The agent id that some of it was granted to; empty: it is what policies say of all. Worlds are
    // not shared between the two.
    std::string granted_to;
    bool operator==(const NetworkOrder&) const = default;
};

// More than policies let worlds reach: "HOST:PORT", granted to one agent id.
struct NetworkGrants {
    std::string agent_id;
    std::vector<std::string> hosts;
};
NetworkGrants network_grants(const std::vector<broker::ScopeGrantPtr>& grants);

// The policies of a set that say what may be reached, and must all agree. `granted` is allowed by all of
// them but the machine's; what one denies stays denied.
std::vector<Policy> network_layers(const broker::PolicySet& policies,
                                   const std::vector<std::string>& granted = {});

// Null: nothing can be reached by them, and a loopback of its own is all a world needs.
std::shared_ptr<const NetworkOrder> network_order(const broker::PolicySet& policies,
                                                  const policy::PresetHosts& presets,
                                                  const NetworkGrants& grants = {});

// The same by the gateway, whatever the policies ask for: bytes have to be counted.
std::shared_ptr<const NetworkOrder> counted(const NetworkOrder& order);

// Allows nothing any more.
void open_nothing(std::vector<Policy>& layers);

}  // namespace substrate::supervisor
