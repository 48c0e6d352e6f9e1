#include "world/host_link.hpp"

#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "sys/file.hpp"
#include "sys/link.hpp"
#include "sys/mount.hpp"
#include "sys/netlink.hpp"
#include "sys/nft.hpp"
#include "world/uplink.hpp"

namespace substrate::world {
namespace {

using sys::HardwareAddress;

constexpr const char* kNames = "/run/netns";
// Of the ends of worlds (RFC 2544, RFC 4193): no one else's. A world has one, and nothing else of them is
// routed to it.
constexpr std::uint32_t kLinkNetwork4 = 0xc613'0000;  // 198.19.0.0/16
constexpr std::uint32_t kLinkAddresses = 0xfffe;
constexpr int kAttempts = 256;

bool is_on(const std::string& path) {
    const auto text = sys::read_file(path, 64);
    return text && text->starts_with('1');
}

IpAddress address4(std::uint32_t number) { return IpAddress::v4(kLinkNetwork4 + number); }

IpAddress address6(std::uint32_t number) {
    std::array<std::uint8_t, 16> bytes = {0xfd, 0x73, 0x75, 0x62, 0x73, 0x74, 0, 3};
    bytes[14] = static_cast<std::uint8_t>(number >> 8);
    bytes[15] = static_cast<std::uint8_t>(number);
    return IpAddress::v6(bytes);
}

// Locally administered, and of this world.
HardwareAddress hardware(std::uint32_t id, std::uint8_t end) {
    HardwareAddress address = {0x02, end};
    for (std::size_t i = 0; i < 4; ++i) address[2 + i] = static_cast<std::uint8_t>(id >> (8 * i));
    return address;
}

Result<> transact(sys::LinkBatch& batch) {
    return sys::netlink_transact_once(NETLINK_ROUTE, batch.netlink());
}

std::string path_of(const std::string& name) { return std::string(kNames) + "/" + name; }

// The last part of "substrate_<short id>".
std::string short_id(const plan::UplinkPlan& plan) { return plan.table.substr(plan.table.find('_') + 1); }

}  // namespace

Result<NetworkName> NetworkName::give(int network, std::string name) {
    SUB_TRY(sys::make_dirs(kNames, 0755));
    const std::string path = path_of(name);
    const sys::UniqueFd place(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
    if (!place && errno == EEXIST)
        return fail(Error(Errc::conflict, path + " exists already").hint("substrate world gc"));
    if (!place) return fail(Error::last_os("open", path));
    NetworkName made(std::move(name));
    auto mount = sys::clone_tree(network, "", /*recursive=*/false);
    if (!mount) return fail(std::move(mount).error().during("naming the world's network"));
    if (auto attached = sys::attach(mount->get(), AT_FDCWD, path); !attached)
        return fail(std::move(attached).error().during("naming the world's network"));
    return made;
}

Result<> NetworkName::remove(const std::string& name) {
    const std::string path = path_of(name);
    // EINVAL: nothing is mounted there.
    if (::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT)
        return fail(Error::last_os("umount", path));
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(Error::last_os("unlink", path));
    return {};
}

NetworkName& NetworkName::operator=(NetworkName&& other) noexcept {
    if (this == &other) return *this;
    reset();
    name_ = std::exchange(other.name_, {});
    return *this;
}

// What cannot be removed, gc finds.
void NetworkName::reset() {
    if (!name_.empty()) (void)remove(std::exchange(name_, {}));
}

HostLink& HostLink::operator=(HostLink&& other) noexcept {
    if (this == &other) return *this;
    reset();
    table_owner_ = std::move(other.table_owner_);
    interface_ = std::exchange(other.interface_, 0);
    order_ = std::move(other.order_);
    return *this;
}

// Both are gone already where the world's network is.
void HostLink::reset() {
    table_owner_.reset();
    if (interface_ == 0) return;
    sys::LinkBatch batch;
    batch.remove(std::exchange(interface_, 0));
    (void)transact(batch);
}

Result<HostLink> HostLink::make(int network, const plan::UplinkPlan& plan) {
    if (!is_on("/proc/sys/net/ipv4/ip_forward"))
        return fail(Error(Errc::unsupported, "net.mode veth: the host does not forward packets")
                        .hint("sysctl -w net.ipv4.ip_forward=1, or net.mode: gateway"));
    const std::string id = short_id(plan);
    const auto number = static_cast<std::uint32_t>(std::strtoul(id.c_str(), nullptr, 16));
    const std::string device = "sub-" + id;
    HostLink link;
    link.order_.gateway_hardware = hardware(number, 0);
    sys::LinkBatch pair;
    pair.add_veth({device, link.order_.gateway_hardware}, {kLinkName, hardware(number, 1)}, network);
    SUB_TRY_DURING(transact(pair), "making a veth pair");
    SUB_TRY_ASSIGN(link.interface_, sys::interface_index(device));
    if (auto connected = link.connect(plan); !connected)
        return fail(std::move(connected).error().during("connecting the world's network"));
    return link;
}

Result<> HostLink::connect(const plan::UplinkPlan& plan) {
    const std::string id = short_id(plan);
    const auto seed = static_cast<std::uint32_t>(std::strtoul(id.c_str(), nullptr, 16));
    const HardwareAddress inner = hardware(seed, 1);
    sys::LinkBatch raised;
    raised.raise(interface_, plan.ipv6);
    SUB_TRY(transact(raised));
    const bool ipv6 = plan.ipv6 && is_on("/proc/sys/net/ipv6/conf/all/forwarding");
    std::vector<IpAddress> addresses;
    // Who has an address already has the route to it.
    for (int attempt = 0; addresses.empty() && attempt < kAttempts; ++attempt) {
        const std::uint32_t number = 1 + (seed + static_cast<std::uint32_t>(attempt)) % kLinkAddresses;
        sys::LinkBatch route;
        route.add_route(interface_, address4(number), std::nullopt);
        auto added = transact(route);
        if (!added && added.error().os_errno() == EEXIST) continue;
        SUB_TRY(std::move(added));
        addresses.push_back(address4(number));
        if (ipv6) addresses.push_back(address6(number));
    }
    if (addresses.empty()) return fail({Errc::unavailable, "no address is free"});
    sys::LinkBatch rest;
    if (ipv6) rest.add_route(interface_, addresses[1], std::nullopt);
    sys::NftBatch table(plan.table);
    table.add_table(/*owned=*/true);
    table.add_nat_chain("postrouting", sys::NftHook::postrouting, NF_IP_PRI_NAT_SRC);
    for (const IpAddress& address : addresses) {
        rest.add_neighbour(interface_, address, inner);
        order_.addresses.push_back(address.text());
        table.begin_rule("postrouting");
        table.is_from(address);
        table.count();
        table.masquerade();
        table.end_rule();
    }
    SUB_TRY(transact(rest));
    SUB_TRY_ASSIGN(table_owner_, sys::open_netlink(NETLINK_NETFILTER));
    sys::NetlinkBatch messages = table.take();
    return sys::netlink_transact(table_owner_.get(), messages);
}

}  // namespace substrate::world
