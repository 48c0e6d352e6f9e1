#pragma once

#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/unique_fd.hpp"
#include "world/init_protocol.hpp"

namespace substrate::world {

// What the gateway serves a world by, which stays in the world's network wherever it travels:
//   gateway  a listening TCP socket; the name server's UDP and listening TCP sockets; with IPv6, one more
//            listening TCP socket
//   veth     a netlink socket for the rules' sets; the name server's sockets; a netlink socket that tells of
//            connections
inline constexpr std::size_t kUplinkSockets = 3, kMostUplinkSockets = 4;

// What a world passes on, sorted.
struct PassedUplink {
    std::vector<sys::UniqueFd> served;  // as above
    sys::UniqueFd rules;                // a netlink socket by which the rules' counters can be read
    sys::UniqueFd network;              // of one that has a name, or a veth pair
};
PassedUplink sorted_uplink(std::vector<sys::UniqueFd> passed, const plan::WorldPlan& plan);

// Makes the way out in the current net namespace, which is new and has its loopback up: rules, routes, and
// the sockets, behind them that for the counters. Before anything of the world runs. None where nothing leads
// out.
Result<std::vector<sys::UniqueFd>> raise_uplink(const plan::WorldPlan& plan);

// Where a veth pair leads on: the same in every world, and on no other network.
inline constexpr const char* kLinkName = "eth0";
inline constexpr const char* kLinkGateway = "169.254.1.1";
inline constexpr const char* kLinkGateway6 = "fe80::1";

// The world's end of a veth pair, which is there and down (init_protocol.hpp, LinkOrder): its addresses, and
// the way to everything else. `ipv6`: the kernel has it. Not before raise_uplink().
Result<> raise_link(const LinkOrder& link, bool ipv6);

}  // namespace substrate::world
