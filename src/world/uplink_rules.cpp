#include "world/uplink_rules.hpp"

#include <netinet/in.h>

// Behind <netinet/in.h>, whose names they would define anew.
#include <linux/netfilter_ipv4.h>
#include <linux/rtnetlink.h>

#include <vector>

#include "sys/nft.hpp"

namespace substrate::world {
namespace {

using sys::NftBatch;
using sys::NftHook;
using sys::NftKey;
using sys::NftRange;

constexpr std::uint32_t kLoopback = 1;  // its index, in every net namespace
constexpr const char* kRedirectedSets[] = {"redirected4", "redirected6"};
constexpr const char* kOutput = kRefusingChain;
constexpr const char* kInput = "input";
constexpr const char* kRedirect = "redirect";
constexpr std::uint32_t kLoggedPerSecond = 10;

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

// The networks of one kind, and those that names have addresses from.
std::vector<NftRange> redirected(const plan::UplinkPlan& plan, bool ipv6) {
    std::vector<NftRange> ranges;
    const auto add = [&](const IpNetwork& network) {
        if (network.first.is_v4() != ipv6) ranges.push_back({network.first, network.last()});
    };
    for (const IpNetwork& network : plan.networks) add(network);
    add(*IpNetwork::parse(ipv6 ? plan::kNamedNetwork6 : plan::kNamedNetwork));
    return sys::joined(std::move(ranges));
}

void accept_to(NftBatch& table, const char* network) {
    table.begin_rule(kOutput);
    table.is_to(*IpNetwork::parse(network));
    table.accept();
    table.end_rule();
}

void refuse_the_rest(NftBatch& table, const std::string& name) {
    const std::string id = name.substr(name.find('_') + 1);
    table.begin_rule(kOutput);
    table.limit_per_second(kLoggedPerSecond);
    table.log("substrate-dropped-" + id + " ");
    table.end_rule();
    table.begin_rule(kOutput);
    table.is_tcp();
    table.count();
    table.reset();
    table.end_rule();
    table.begin_rule(kOutput);
    table.count();
    table.refuse();
    table.end_rule();
}

void redirect_to_gateway(NftBatch& table, const plan::UplinkPlan& plan) {
    table.add_nat_chain(kRedirect, NftHook::output, NF_IP_PRI_NAT_DST);
    for (const bool ipv6 : {false, true}) {
        if (ipv6 && !plan.ipv6) continue;
        const NftKey key = ipv6 ? NftKey::ipv6 : NftKey::ipv4;
        table.add_set(kRedirectedSets[ipv6], key);
        table.add_elements(kRedirectedSets[ipv6], key, redirected(plan, ipv6));
        table.begin_rule(kRedirect);
        if (ipv6) table.is_ipv6();
        else table.is_ipv4();
        table.is_tcp();
        table.destination_in(kRedirectedSets[ipv6], key);
        table.count();
        table.redirect(*IpAddress::parse(ipv6 ? plan::kGatewayAddress6 : plan::kGatewayAddress),
                       plan::kGatewayPort);
        table.end_rule();
    }
}

void accept_what_sets_hold(NftBatch& table) {
    table.add_filter_chain(kInput, NftHook::input);
    table.begin_rule(kInput);
    table.came_by(kLoopback);
    table.accept();
    table.end_rule();
    for (const char* chain : {kInput, kOutput}) {
        table.begin_rule(chain);
        table.is_established();
        table.count();
        table.accept();
        table.end_rule();
    }
    for (const bool ipv6 : {false, true}) {
        const NftKey key = ipv6 ? NftKey::ipv6_port : NftKey::ipv4_port;
        for (const auto& [set, times_out] :
             {std::pair(kNetworkSets[ipv6], false), std::pair(kNameSets[ipv6], true)}) {
            table.add_set(set, key, times_out);
            table.begin_rule(kOutput);
            if (ipv6) table.is_ipv6();
            else table.is_ipv4();
            table.is_tcp();
            table.destination_in(set, key);
            table.count();
            table.accept();
            table.end_rule();
        }
    }
}

}  // namespace

sys::NetlinkBatch uplink_route(bool ipv6) {
    sys::NetlinkBatch batch;
    rtmsg route{};
    route.rtm_family = ipv6 ? AF_INET6 : AF_INET;
    route.rtm_table = RT_TABLE_LOCAL;
    route.rtm_protocol = RTPROT_STATIC;
    route.rtm_scope = RT_SCOPE_HOST;
    route.rtm_type = RTN_LOCAL;
    batch.message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, bytes_of(route));
    batch.put_u32(RTA_OIF, kLoopback);
    const IpAddress source = *IpAddress::parse(ipv6 ? "::1" : "127.0.0.1");
    batch.put(RTA_PREFSRC,
              {reinterpret_cast<const char*>(source.bytes()), static_cast<std::size_t>(source.bits() / 8)});
    return batch;
}

sys::NetlinkBatch uplink_rules(const plan::WorldPlan& plan) {
    NftBatch table(plan.uplink.table);
    table.add_table();
    table.add_filter_chain(kOutput, NftHook::output);
    accept_to(table, "127.0.0.0/8");
    accept_to(table, "::1");
    if (plan.network == plan::NetworkMode::gateway) {
        if (plan.uplink.ipv6) accept_to(table, plan::kGatewayAddress6);
        redirect_to_gateway(table, plan.uplink);
    }
    if (plan.network == plan::NetworkMode::veth) accept_what_sets_hold(table);
    refuse_the_rest(table, plan.uplink.table);
    return table.take();
}

}  // namespace substrate::world
