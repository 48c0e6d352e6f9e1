#pragma once

#include "plan/world_plan.hpp"
#include "sys/netlink.hpp"

// What leads packets in a world whose only way out is the gateway. Pure: messages for the kernel.
namespace substrate::world {

// Routes: every IPv4 address is reached through loopback, where the rules below judge it. A world has no
// other interface.
sys::NetlinkBatch uplink_routes();

// One table "inet substrate_<short id>", loaded as a whole (nftables(8)): from its first instant what is
// not accepted is dropped. TCP to the gateway's addresses and to allowed networks is redirected to the
// gateway's socket; loopback is open; the rest is counted, logged at a limited rate and refused.
sys::NetlinkBatch uplink_rules(const plan::UplinkPlan& plan);

}  // namespace substrate::world
