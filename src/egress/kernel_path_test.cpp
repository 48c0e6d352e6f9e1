#include "egress/kernel_path.hpp"

#include <gtest/gtest.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sys/netlink.hpp"

namespace substrate::egress {
namespace {

// What the kernel says of a new connection.
std::string told(const IpAddress& address, std::uint16_t port, char protocol) {
    sys::NetlinkBatch batch;
    const nfgenmsg head{.nfgen_family = AF_INET, .version = NFNETLINK_V0, .res_id = 0};
    batch.message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW, 0,
                  {reinterpret_cast<const char*>(&head), sizeof head}, /*acknowledged=*/false);
    const std::size_t tuple = batch.open_nest(CTA_TUPLE_ORIG);
    const std::size_t ip = batch.open_nest(CTA_TUPLE_IP);
    batch.put(address.is_v4() ? CTA_IP_V4_DST : CTA_IP_V6_DST,
              {reinterpret_cast<const char*>(address.bytes()), static_cast<std::size_t>(address.bits() / 8)});
    batch.close_nest(ip);
    const std::size_t proto = batch.open_nest(CTA_TUPLE_PROTO);
    batch.put(CTA_PROTO_NUM, {&protocol, 1});
    const std::uint16_t ordered = htons(port);
    batch.put(CTA_PROTO_DST_PORT, {reinterpret_cast<const char*>(&ordered), sizeof ordered});
    batch.close_nest(proto);
    batch.close_nest(tuple);
    return std::string(batch.bytes());
}

TEST(NewConnections, AreReadWithTheirDestination) {
    const sys::Endpoint v4{*IpAddress::parse("44.128.0.10"), 443}, v6{*IpAddress::parse("2001:db8::1"), 80};
    EXPECT_EQ(
        new_connections(told(v4.address, v4.port, IPPROTO_TCP) + told(v6.address, v6.port, IPPROTO_TCP)),
        (std::vector{v4, v6}));
    EXPECT_TRUE(new_connections(told(v4.address, 53, IPPROTO_UDP)).empty());
}

TEST(NewConnections, WhatIsCutShortIsNone) {
    const std::string whole = told(*IpAddress::parse("44.128.0.10"), 443, IPPROTO_TCP);
    for (std::size_t size = 0; size < whole.size(); ++size)
        EXPECT_TRUE(new_connections(std::string_view(whole).substr(0, size)).empty()) << size;
}

}  // namespace
}  // namespace substrate::egress
