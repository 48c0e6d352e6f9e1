#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "egress/gateway_world.hpp"
#include "sys/socket.hpp"

// The name server that worlds ask.
namespace substrate::egress {
namespace {

// Of an address that stands for a name: the mapping itself lasts longer.
constexpr std::uint32_t kTtlSecs = 60;
constexpr std::size_t kMostNameClients = 256;
constexpr std::int64_t kNameClientMs = 10'000;

}  // namespace

void Gateway::answer_datagram(World& world) {
    if (!stir(world)) return;
    std::array<char, 4096> buffer{};
    for (int i = 0; i < 64; ++i) {
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const ssize_t n = ::recvfrom(world.sockets[1].get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                     reinterpret_cast<sockaddr*>(&from), &length);
        if (n < 0) return;
        const std::weak_ptr<World> weak = worlds_.at(world.id);
        answer(world, std::string_view(buffer.data(), static_cast<std::size_t>(n)),
               [weak, from, length](const std::string& reply) {
                   const auto alive = weak.lock();
                   if (!alive || reply.empty()) return;
                   // A reply that does not fit is asked for again, as after any loss.
                   (void)::sendto(alive->sockets[1].get(), reply.data(), reply.size(),
                                  MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&from),
                                  length);
               });
    }
}

void Gateway::accept_name_client(World& world) {
    if (!stir(world)) return;
    auto socket = sys::accept_tcp(world.sockets[2].get());
    if (!socket || !*socket) return;
    if (world.name_clients.size() >= kMostNameClients) return sys::reset_connection(*socket);
    const int fd = socket->get();
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    const auto close = [this, weak, fd] {
        const auto alive = weak.lock();
        if (!alive) return;
        loop_.remove(fd);
        alive->name_clients.erase(fd);
    };
    if (!loop_.watch(fd, EPOLLIN, [this, weak, fd](std::uint32_t) {
            if (const auto alive = weak.lock()) read_name_client(*alive, fd);
        }))
        return;
    NameClient& client = world.name_clients[fd];
    client.socket = std::move(*socket);
    client.timer = loop_.after_ms(kNameClientMs, close);
}

void Gateway::read_name_client(World& world, int fd) {
    if (!stir(world)) return;
    const auto found = world.name_clients.find(fd);
    if (found == world.name_clients.end()) return;
    NameClient& client = found->second;
    std::array<char, 4096> buffer{};
    const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        loop_.cancel(client.timer);
        loop_.remove(fd);
        world.name_clients.erase(found);
        return;
    }
    client.received.append(buffer.data(), static_cast<std::size_t>(n));
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    while (client.received.size() >= 2) {
        const std::size_t size = static_cast<std::size_t>(static_cast<std::uint8_t>(client.received[0]))
                                     << 8 |
                                 static_cast<std::uint8_t>(client.received[1]);
        if (client.received.size() < size + 2) return;
        const std::string message = client.received.substr(2, size);
        client.received.erase(0, size + 2);
        answer(world, message, [weak, fd](const std::string& reply) {
            const auto alive = weak.lock();
            if (!alive || reply.empty() || !alive->name_clients.contains(fd)) return;
            const std::string framed =
                std::string{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())} + reply;
            // Small beside a socket's buffer; a client that fills it reads no answers.
            (void)::send(fd, framed.data(), framed.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        });
    }
}

void Gateway::answer(World& world, std::string_view message, const Reply& reply) {
    auto query = DnsQuery::parse(message);
    if (!query) return reply(DnsQuery::format_error(message));
    Json event{{"type", "dns_query"}, {"world", world.id}, {"query_type", query->type_text()}};
    put_bytes(event, "name", query->name());
    const auto refuse = [&](policy::NetVerdict verdict) {
        verdict.allowed = false;
        put_verdict(event, verdict);
        say(std::move(event));
        reply(query->refused());
    };
    if (query->type() == DnsType::pointer) {
        const auto address = reverse_address(query->name());
        if (const auto name = address ? world.names.name_of(*address) : std::nullopt)
            return reply(query->pointer(*name, kTtlSecs));
        return refuse({.reason = "only addresses of names that were asked for have one"});
    }
    if (query->type() == DnsType::other) return refuse({.reason = "records of this type are not given"});
    // "_8443._https.a.test" asks how a.test serves (RFC 9460 section 2.3).
    const bool service = query->type() == DnsType::service;
    const auto host = policy::read_host(service ? served_host(query->name()) : query->name());
    const auto* name = host ? std::get_if<policy::DomainName>(&*host) : nullptr;
    if (name == nullptr) return refuse({.reason = host ? "it is an address" : host.error().message()});
    policy::NetVerdict verdict = world.rules.decide_name(*name);
    if (!verdict.allowed) return refuse(std::move(verdict));
    const policy::DomainName asked = *name;
    answer_address(world, std::move(*query), asked, reply);
}

// The name is resolved first: one that does not exist must not seem to.
void Gateway::answer_address(World& world, DnsQuery query, const policy::DomainName& name,
                             const Reply& reply) {
    const std::weak_ptr<World> weak = worlds_.at(world.id);
    auto held = std::make_shared<DnsQuery>(std::move(query));
    names_->resolve(name.text, world.id, world.rules.name_refresh(), [=, this](Result<Resolved> resolved) {
        const auto alive = weak.lock();
        if (!alive) return;
        World& there = *alive;
        Json event{{"type", "dns_query"}, {"world", there.id}, {"query_type", held->type_text()}};
        put_bytes(event, "name", name.text);
        policy::NetVerdict verdict = there.rules.decide_name(name);
        std::string answer;
        event["cached"] = resolved && resolved->cached;
        if (!resolved) {
            const bool none = resolved.error().code() == Errc::not_found;
            event["error"] = resolved.error().message();
            answer = none ? held->no_such_name() : held->failed();
        } else if (const auto bad = std::ranges::find_if_not(
                       resolved->addresses,
                       [&](const IpAddress& address) { return there.rules.may_lead_to(address); });
                   bad != resolved->addresses.end()) {
            verdict.allowed = false;
            verdict.reason = "it leads to " + bad->text() + ", a " + std::string(special_purpose(*bad)) +
                             " address, which has to be allowed as a network";
            answer = held->refused();
        } else if (there.kernel) {
            answer = answer_by_kernel(there, *held, name, *resolved, event);
        } else if (const bool ipv6 = held->type() == DnsType::address6;
                   (held->type() != DnsType::address4 && !(ipv6 && there.ipv6)) ||
                   resolved->addresses.empty()) {
            // Aliases are followed here. A record of a service would name other hosts, addresses and ports
            // than the one that is allowed, or keys to hide them with: a client that gets none connects to
            // the name.
            answer = held->no_data();
        } else if (const auto address = there.names.address_of(name.text, ipv6)) {
            answer = held->addresses(std::array{*address}, kTtlSecs);
        } else {
            event["error"] = "the world has asked for too many names";
            answer = held->failed();
        }
        put_verdict(event, verdict);
        say(std::move(event));
        reply(answer);
    });
}

}  // namespace substrate::egress
