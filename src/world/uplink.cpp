#include "world/uplink.hpp"

#include <linux/netlink.h>

#include "sys/internet_socket.hpp"
#include "world/uplink_rules.hpp"

namespace substrate::world {

Result<std::vector<sys::UniqueFd>> raise_uplink(const plan::UplinkPlan& plan) {
    // The rules come first: no packet ever meets the routes without them.
    sys::NetlinkBatch rules = uplink_rules(plan);
    SUB_TRY_DURING(sys::netlink_transact(NETLINK_NETFILTER, rules), "loading the world's nftables rules");
    sys::NetlinkBatch routes = uplink_routes();
    SUB_TRY_DURING(sys::netlink_transact(NETLINK_ROUTE, routes), "making the world's route");
    const IpAddress gateway = *IpAddress::parse(plan::kGatewayAddress);
    const IpAddress name_server = *IpAddress::parse(plan::kNameServerAddress);
    std::vector<sys::UniqueFd> sockets(kUplinkSockets);
    SUB_TRY_ASSIGN(sockets[0], sys::listen_tcp(gateway, plan::kGatewayPort));
    SUB_TRY_ASSIGN(sockets[1], sys::bind_udp(name_server, plan::kNameServerPort));
    SUB_TRY_ASSIGN(sockets[2], sys::listen_tcp(name_server, plan::kNameServerPort));
    return sockets;
}

}  // namespace substrate::world
