#include <sys/socket.h>

#include <array>

#include "egress/gateway_world.hpp"

// Worlds whose connections the kernel carries: names are answered with their own addresses.
namespace substrate::egress {

Result<> Gateway::open_kernel_path(World& world, KernelPath::Names sets) {
    if (world.sockets.size() != kMostSockets)
        return fail({Errc::invalid, "a world with a veth pair has other sockets"});
    SUB_TRY_ASSIGN(world.kernel, KernelPath::open(std::move(world.sockets[0]), std::move(sets), world.rules));
    World* served = &world;
    return loop_.watch(world.sockets[kSockets].get(), EPOLLIN,
                       [this, served](std::uint32_t) { hear_connections(*served); });
}

// What is lost here was still judged: there were too many to be told of.
void Gateway::hear_connections(World& world) {
    if (!stir(world)) return;
    std::array<char, 16 * 1024> buffer{};
    for (int i = 0; i < 64; ++i) {
        const ssize_t n = ::recv(world.sockets[kSockets].get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n <= 0) return;
        for (const sys::Endpoint& to :
             new_connections(std::string_view(buffer.data(), static_cast<std::size_t>(n)))) {
            if (special_purpose(to.address) == "loopback") continue;  // of the world with itself
            const auto name = world.kernel->name_of(to.address);
            const policy::Host host =
                name ? policy::Host(policy::DomainName{*name}) : policy::Host(to.address);
            report(world, {.host = policy::to_text(host),
                           .port = to.port,
                           .verdict = world.rules.decide(host, to.port),
                           .error = {}});
        }
    }
}

// Nothing is answered that the kernel would not let through yet.
std::string Gateway::answer_by_kernel(World& world, const DnsQuery& query, const policy::DomainName& name,
                                      const Resolved& resolved, Json& event) {
    constexpr std::uint32_t kShortestSecs = 1, kLongestSecs = 300;
    const bool ipv6 = query.type() == DnsType::address6;
    std::vector<IpAddress> wanted;
    for (const IpAddress& address : resolved.addresses)
        if (address.is_v4() != ipv6) wanted.push_back(address);
    if ((!ipv6 && query.type() != DnsType::address4) || (ipv6 && !world.ipv6) || wanted.empty())
        return query.no_data();
    const auto opened = world.kernel->allow(world.rules, name, wanted,
                                            std::clamp(resolved.ttl_secs, kShortestSecs, kLongestSecs));
    if (!opened) {
        event["error"] = opened.error().message();
        return query.failed();
    }
    return opened->addresses.empty() ? query.refused() : query.addresses(opened->addresses, opened->ttl_secs);
}

}  // namespace substrate::egress
