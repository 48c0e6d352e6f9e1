#include "egress/kernel_path.hpp"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "egress/event_loop.hpp"
#include "sys/netlink.hpp"
#include "sys/nft.hpp"

namespace substrate::egress {
namespace {

using sys::NftBatch;
using sys::NftKey;
using sys::NftRange;

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::uint32_t kConnectSecs = 5;  // from an answer to the connection that it was asked for
constexpr std::int64_t kKeptSecs = 300;    // that a connection may be silent when rules change
constexpr std::size_t kMostAddresses = 65'536;

NftKey key_of(bool ipv6) { return ipv6 ? NftKey::ipv6_port : NftKey::ipv4_port; }

bool counts_bytes(const AccessRules& rules) {
    return rules.total_bytes() != 0 || rules.command_bytes() != 0 || rules.bytes_per_sec() != 0;
}

std::optional<IpAddress> address_in(std::string_view ip) {
    if (const std::string_view v4 = sys::attribute(ip, CTA_IP_V4_DST); v4.size() == 4) {
        std::uint32_t value = 0;
        std::memcpy(&value, v4.data(), sizeof value);
        return IpAddress::v4(ntohl(value));
    }
    std::array<std::uint8_t, 16> bytes{};
    const std::string_view v6 = sys::attribute(ip, CTA_IP_V6_DST);
    if (v6.size() != bytes.size()) return std::nullopt;
    std::memcpy(bytes.data(), v6.data(), bytes.size());
    return IpAddress::v6(bytes);
}

std::optional<sys::Endpoint> destination_in(std::string_view connection) {
    const std::string_view tuple = sys::attribute(connection, CTA_TUPLE_ORIG);
    const std::string_view protocol = sys::attribute(tuple, CTA_TUPLE_PROTO);
    const std::string_view number = sys::attribute(protocol, CTA_PROTO_NUM);
    const std::string_view port = sys::attribute(protocol, CTA_PROTO_DST_PORT);
    const auto address = address_in(sys::attribute(tuple, CTA_TUPLE_IP));
    if (!address || number.empty() || number[0] != IPPROTO_TCP || port.size() != 2) return std::nullopt;
    std::uint16_t ordered = 0;
    std::memcpy(&ordered, port.data(), sizeof ordered);
    return sys::Endpoint{*address, ntohs(ordered)};
}

}  // namespace

std::vector<sys::Endpoint> new_connections(std::string_view message) {
    std::vector<sys::Endpoint> found;
    while (message.size() >= sizeof(nlmsghdr)) {
        nlmsghdr head{};
        std::memcpy(&head, message.data(), sizeof head);
        if (head.nlmsg_len < sizeof head + sizeof(nfgenmsg) || head.nlmsg_len > message.size()) break;
        const std::string_view body =
            message.substr(sizeof head + sizeof(nfgenmsg), head.nlmsg_len - sizeof head - sizeof(nfgenmsg));
        if (head.nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW))
            if (const auto to = destination_in(body)) found.push_back(*to);
        message.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), message.size()));
    }
    return found;
}

Result<KernelPath> KernelPath::open(sys::UniqueFd socket, Names names, const AccessRules& rules) {
    if (names.networks.size() != 2 || names.names.size() != 2)
        return fail({Errc::invalid, "a veth pair needs two sets of each kind"});
    KernelPath path(std::move(socket), std::move(names));
    SUB_TRY(path.fill(rules, /*anew=*/false));
    return path;
}

std::vector<NftRange> KernelPath::ranges(const IpAddress& address, const Known& known,
                                         std::int64_t now) const {
    std::vector<NftRange> made;
    const auto left_ms =
        static_cast<std::uint64_t>(std::max<std::int64_t>(known.open_until_ns - now, 0)) / 1'000'000;
    for (const AccessRules::Ports& ports : known.ports)
        made.push_back({address, address, ports.first, ports.last, std::max<std::uint64_t>(left_ms, 1)});
    return made;
}

// What all names together open that still lead there.
std::vector<AccessRules::Ports> KernelPath::ports_of(const AccessRules& rules, const IpAddress& address,
                                                     const Known& known, std::int64_t now) {
    std::vector<AccessRules::Ports> all;
    for (const auto& [name, until] : known.until_ns) {
        if (until <= now) continue;
        const auto ports = rules.open_ports({name}, address);
        all.insert(all.end(), ports.begin(), ports.end());
    }
    std::ranges::sort(all, {}, &AccessRules::Ports::first);
    std::vector<AccessRules::Ports> joined;
    for (const AccessRules::Ports& ports : all) {
        if (!joined.empty() && ports.first <= joined.back().last + 1)
            joined.back().last = std::max(joined.back().last, ports.last);
        else joined.push_back(ports);
    }
    return joined;
}

// The kernel's sets as the rules and the names say: one batch, so that nothing is between the two.
Result<> KernelPath::fill(const AccessRules& rules, bool anew) {
    const std::int64_t now = EventLoop::now_ns();
    forget_expired(now);
    NftBatch batch(names_.table);
    for (const bool ipv6 : {false, true}) {
        const char* networks = names_.networks[ipv6].c_str();
        const char* names = names_.names[ipv6].c_str();
        if (anew) {
            batch.flush_set(networks);
            batch.flush_set(names);
        }
        if (counts_bytes(rules)) continue;
        batch.add_elements(networks, key_of(ipv6), rules.open_ranges(ipv6));
        for (auto& [address, known] : addresses_) {
            if (address.is_v4() == ipv6) continue;
            known.ports = ports_of(rules, address, known, now);
            batch.add_elements(names, key_of(ipv6), ranges(address, known, now));
        }
    }
    sys::NetlinkBatch messages = batch.take();
    return sys::netlink_transact(socket_.get(), messages);
}

Result<> KernelPath::apply(const AccessRules& rules) {
    const std::int64_t now = EventLoop::now_ns();
    // Whoever is still connected by a name that is still allowed stays so: the sets are asked once more.
    for (auto& [address, known] : addresses_) {
        for (auto& [name, until] : known.until_ns) until = std::max(until, now + kKeptSecs * kSecond);
        known.open_until_ns = std::max(known.open_until_ns, now + kKeptSecs * kSecond);
    }
    SUB_TRY(fill(rules, /*anew=*/true));
    return forget_connections();
}

// A packet of a connection that is not known is judged as a new one's.
Result<> KernelPath::forget_connections() {
    const nfgenmsg head{.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = 0};
    sys::NetlinkBatch batch;
    batch.message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0,
                  {reinterpret_cast<const char*>(&head), sizeof head});
    return sys::netlink_transact(socket_.get(), batch);
}

// An element that is there keeps its time, so another takes its place.
Result<> KernelPath::put(const IpAddress& address, const Known& known, const Known* before) {
    const bool ipv6 = !address.is_v4();
    const char* set = names_.names[ipv6].c_str();
    const std::int64_t now = EventLoop::now_ns();
    const auto attempt = [&](bool replace) -> Result<> {
        NftBatch batch(names_.table);
        if (replace) batch.remove_elements(set, key_of(ipv6), ranges(address, *before, now));
        batch.add_elements(set, key_of(ipv6), ranges(address, known, now));
        sys::NetlinkBatch messages = batch.take();
        return sys::netlink_transact(socket_.get(), messages);
    };
    if (before == nullptr || before->open_until_ns <= now || before->ports.empty()) return attempt(false);
    auto done = attempt(true);
    // Its time has come in between.
    return !done && done.error().os_errno() == ENOENT ? attempt(false) : std::move(done);
}

Result<KernelPath::Opened> KernelPath::allow(const AccessRules& rules, const policy::DomainName& name,
                                             std::span<const IpAddress> addresses, std::uint32_t ttl_secs) {
    const std::int64_t now = EventLoop::now_ns();
    if (addresses_.size() >= kMostAddresses) forget_expired(now);
    if (addresses_.size() >= kMostAddresses)
        return fail({Errc::unavailable, "the world has asked for too many names"});
    Opened opened{.ttl_secs = ttl_secs};
    if (counts_bytes(rules)) return opened;
    for (const IpAddress& address : addresses) {
        if (rules.open_ports(name, address).empty()) continue;
        opened.addresses.push_back(address);
        const auto found = addresses_.find(address);
        const Known* before = found == addresses_.end() ? nullptr : &found->second;
        Known known = before == nullptr ? Known{} : *before;
        std::int64_t& until = known.until_ns[name.text];
        until = std::max(until, now + std::int64_t{ttl_secs + kConnectSecs} * kSecond);
        known.last_name = name.text;
        known.ports = ports_of(rules, address, known, now);
        // What is open for long enough is not opened anew: the answer holds no longer than it does.
        const std::int64_t left =
            before == nullptr ? 0 : before->open_until_ns - now - kConnectSecs * kSecond;
        if (left > 0 && before->ports == known.ports && left >= std::int64_t{ttl_secs} * kSecond / 2) {
            opened.ttl_secs = std::min(opened.ttl_secs, static_cast<std::uint32_t>(left / kSecond));
        } else {
            known.open_until_ns = std::max(known.open_until_ns, until);
            SUB_TRY(put(address, known, before));
        }
        addresses_[address] = std::move(known);
    }
    return opened;
}

std::optional<std::string> KernelPath::name_of(const IpAddress& address) const {
    const auto known = addresses_.find(address);
    return known == addresses_.end() ? std::nullopt : std::optional(known->second.last_name);
}

// Not at once: a connection that is told of late is still known by its name.
void KernelPath::forget_expired(std::int64_t now) {
    constexpr std::int64_t kRemembered = 3600 * kSecond;
    std::erase_if(addresses_,
                  [&](const auto& entry) { return entry.second.open_until_ns + kRemembered < now; });
}

}  // namespace substrate::egress
