#include "world/uplink.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_compat.h>
#include <linux/netlink.h>

#include "sys/internet_socket.hpp"
#include "sys/link.hpp"
#include "world/uplink_rules.hpp"

namespace substrate::world {
namespace {

IpAddress address(const char* text) { return *IpAddress::parse(text); }

}  // namespace

Result<std::vector<sys::UniqueFd>> raise_uplink(const plan::WorldPlan& plan) {
    using plan::kNameServerPort;
    // The rules come first: no packet ever meets a route or an interface without them.
    sys::NetlinkBatch rules = uplink_rules(plan);
    SUB_TRY_DURING(sys::netlink_transact_once(NETLINK_NETFILTER, rules),
                   "loading the world's nftables rules");
    std::vector<sys::UniqueFd> sockets;
    if (plan.network == plan::NetworkMode::loopback) return sockets;
    const bool to_gateway = plan.network == plan::NetworkMode::gateway;
    for (const bool ipv6 : {false, true}) {
        if (!to_gateway || (ipv6 && !plan.uplink.ipv6)) continue;
        sys::NetlinkBatch route = uplink_route(ipv6);
        SUB_TRY_DURING(sys::netlink_transact_once(NETLINK_ROUTE, route), "making the world's route");
    }
    const IpAddress name_server = address(plan::kNameServerAddress);
    sockets.resize(plan.uplink.ipv6 || !to_gateway ? kMostUplinkSockets : kUplinkSockets);
    SUB_TRY_ASSIGN(sockets[1], sys::bind_udp(name_server, kNameServerPort));
    SUB_TRY_ASSIGN(sockets[2], sys::listen_tcp(name_server, kNameServerPort));
    if (to_gateway) {
        SUB_TRY_ASSIGN(sockets[0], sys::listen_tcp(address(plan::kGatewayAddress), plan::kGatewayPort));
        if (plan.uplink.ipv6) {
            SUB_TRY_ASSIGN(sockets[3], sys::listen_tcp(address(plan::kGatewayAddress6), plan::kGatewayPort));
        }
    } else {
        SUB_TRY_ASSIGN(sockets[0], sys::open_netlink(NETLINK_NETFILTER));
        SUB_TRY_ASSIGN(sockets[3], sys::open_netlink(NETLINK_NETFILTER, NFNLGRP_CONNTRACK_NEW));
    }
    SUB_TRY_ASSIGN(sys::UniqueFd counters, sys::open_netlink(NETLINK_NETFILTER));
    sockets.push_back(std::move(counters));
    return sockets;
}

PassedUplink sorted_uplink(std::vector<sys::UniqueFd> passed, const plan::WorldPlan& plan) {
    PassedUplink sorted;
    const auto take_last = [&] {
        if (passed.empty()) return sys::UniqueFd();
        sys::UniqueFd last = std::move(passed.back());
        passed.pop_back();
        return last;
    };
    const bool leads_out =
        plan.network == plan::NetworkMode::gateway || plan.network == plan::NetworkMode::veth;
    if (plan.network == plan::NetworkMode::veth || !plan.network_name.empty()) sorted.network = take_last();
    if (leads_out) sorted.rules = take_last();
    sorted.served = std::move(passed);
    return sorted;
}

Result<> raise_link(const LinkOrder& link, bool ipv6) {
    SUB_TRY_ASSIGN(const std::uint32_t index, sys::interface_index(kLinkName));
    sys::LinkBatch batch;
    for (const std::string& text : link.addresses) {
        const auto own = IpAddress::parse(text);
        if (!own) return fail({Errc::invalid, "no address for the world's end of its link"});
        const IpAddress gateway = address(own->is_v4() ? kLinkGateway : kLinkGateway6);
        batch.add_address(index, *own);
        batch.raise(index, ipv6);
        batch.add_neighbour(index, gateway, link.gateway_hardware);
        batch.add_route(index, std::nullopt, gateway);
    }
    return sys::netlink_transact_once(NETLINK_ROUTE, batch.netlink());
}

}  // namespace substrate::world
