#include "sys/link.hpp"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

namespace substrate::sys {
namespace {

constexpr std::uint8_t kNoAddresses = 1;  // IN6_ADDR_GEN_MODE_NONE

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string_view bytes_of(const IpAddress& address) {
    return {reinterpret_cast<const char*>(address.bytes()), static_cast<std::size_t>(address.bits() / 8)};
}
std::string_view bytes_of(const HardwareAddress& address) {
    return {reinterpret_cast<const char*>(address.data()), address.size()};
}
std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

void put_end(NetlinkBatch& batch, const VethEnd& end) {
    batch.put_text(IFLA_IFNAME, end.name);
    batch.put(IFLA_ADDRESS, bytes_of(end.hardware));
}

}  // namespace

Result<std::uint32_t> interface_index(const std::string& name) {
    const unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0) return fail(Error::last_os("if_nametoindex", name));
    return index;
}

void LinkBatch::add_veth(const VethEnd& here, const VethEnd& there, int net) {
    const ifinfomsg head{};
    batch_.message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, bytes_of(head));
    put_end(batch_, here);
    const std::size_t info = batch_.open_nest(IFLA_LINKINFO);
    batch_.put_text(IFLA_INFO_KIND, "veth");
    const std::size_t data = batch_.open_nest(IFLA_INFO_DATA);
    const std::size_t peer = batch_.open_nest(VETH_INFO_PEER);
    batch_.put_raw(bytes_of(head));
    put_end(batch_, there);
    batch_.put_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(net));
    batch_.close_nest(peer);
    batch_.close_nest(data);
    batch_.close_nest(info);
}

void LinkBatch::remove(std::uint32_t interface) {
    ifinfomsg head{};
    head.ifi_index = static_cast<int>(interface);
    batch_.message(RTM_DELLINK, 0, bytes_of(head));
}

void LinkBatch::raise(std::uint32_t interface, bool ipv6) {
    ifinfomsg head{};
    head.ifi_index = static_cast<int>(interface);
    if (ipv6) {
        batch_.message(RTM_NEWLINK, 0, bytes_of(head));
        const std::size_t families = batch_.open_nest(IFLA_AF_SPEC);
        const std::size_t v6 = batch_.open_nest(AF_INET6);
        batch_.put(IFLA_INET6_ADDR_GEN_MODE, bytes_of(kNoAddresses));
        batch_.close_nest(v6);
        batch_.close_nest(families);
    }
    head.ifi_flags = head.ifi_change = IFF_UP;
    batch_.message(RTM_NEWLINK, 0, bytes_of(head));
}

void LinkBatch::add_address(std::uint32_t interface, const IpAddress& address) {
    ifaddrmsg head{};
    head.ifa_family = family_of(address);
    head.ifa_prefixlen = static_cast<std::uint8_t>(address.bits());
    head.ifa_flags = address.is_v4() ? 0 : IFA_F_NODAD;
    head.ifa_scope = RT_SCOPE_UNIVERSE;
    head.ifa_index = interface;
    batch_.message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, bytes_of(head));
    batch_.put(IFA_LOCAL, bytes_of(address));
    batch_.put(IFA_ADDRESS, bytes_of(address));
}

void LinkBatch::add_neighbour(std::uint32_t interface, const IpAddress& address,
                              const HardwareAddress& hardware) {
    ndmsg head{};
    head.ndm_family = family_of(address);
    head.ndm_ifindex = static_cast<int>(interface);
    head.ndm_state = NUD_PERMANENT;
    batch_.message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, bytes_of(head));
    batch_.put(NDA_DST, bytes_of(address));
    batch_.put(NDA_LLADDR, bytes_of(hardware));
}

void LinkBatch::add_route(std::uint32_t interface, const std::optional<IpAddress>& to,
                          const std::optional<IpAddress>& gateway) {
    rtmsg head{};
    const IpAddress& one = to ? *to : *gateway;
    head.rtm_family = family_of(one);
    head.rtm_dst_len = to ? static_cast<std::uint8_t>(to->bits()) : 0;
    head.rtm_table = RT_TABLE_MAIN;
    head.rtm_protocol = RTPROT_STATIC;
    head.rtm_scope = gateway || !one.is_v4() ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    head.rtm_type = RTN_UNICAST;
    head.rtm_flags = gateway ? RTNH_F_ONLINK : 0;
    batch_.message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, bytes_of(head));
    if (to) batch_.put(RTA_DST, bytes_of(*to));
    if (gateway) batch_.put(RTA_GATEWAY, bytes_of(*gateway));
    batch_.put_u32(RTA_OIF, interface);
}

}  // namespace substrate::sys
