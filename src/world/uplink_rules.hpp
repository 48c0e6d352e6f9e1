#pragma once

#include "plan/world_plan.hpp"
#include "sys/netlink.hpp"

// What leads packets in a world. Pure: messages for the kernel. Each table is loaded as a whole
// (nftables(8)): from its first instant what is not accepted is dropped.
namespace substrate::world {

// The sets of addresses with ports that a world with a veth pair may connect to: what the policy opens by
// address, and what its names lead to, as long as the answer holds.
inline constexpr const char* kNetworkSets[] = {"networks4", "networks6"};
inline constexpr const char* kNameSets[] = {"allowed4", "allowed6"};

// The chain in which what is refused is counted.
inline constexpr const char* kRefusingChain = "output";

// Routes: every address of this kind is reached through loopback, where the rules below judge it.
sys::NetlinkBatch uplink_route(bool ipv6);

// One table "inet substrate_<short id>". Loopback is open; with the gateway TCP to its addresses and to
// allowed networks is redirected to its socket; with a veth pair TCP to what the sets hold passes, which are
// empty at first. The rest is counted, logged at a limited rate and refused.
sys::NetlinkBatch uplink_rules(const plan::WorldPlan& plan);

}  // namespace substrate::world
