#include "sys/internet_socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

// Behind <netinet/in.h>, whose names it would define anew.
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace substrate::sys {
namespace {

constexpr int kBacklog = 4096;

struct Address {
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_storage);
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address to_os(const Endpoint& endpoint) {
    Address made;
    if (endpoint.address.is_v4()) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(endpoint.port);
        std::memcpy(&v4.sin_addr, endpoint.address.bytes(), sizeof v4.sin_addr);
        std::memcpy(&made.storage, &v4, sizeof v4);
        made.length = sizeof v4;
    } else {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(endpoint.port);
        std::memcpy(&v6.sin6_addr, endpoint.address.bytes(), sizeof v6.sin6_addr);
        std::memcpy(&made.storage, &v6, sizeof v6);
        made.length = sizeof v6;
    }
    return made;
}

Result<Endpoint> from_os(const Address& address) {
    if (address.storage.ss_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, &address.storage, sizeof v4);
        return Endpoint{IpAddress::v4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
    }
    if (address.storage.ss_family != AF_INET6) return fail({Errc::internal, "an address of another family"});
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address.storage, sizeof v6);
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return Endpoint{IpAddress::v6(bytes), ntohs(v6.sin6_port)};
}

Result<UniqueFd> open_socket(bool v4, int type) {
    UniqueFd socket(::socket(v4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail(Error::last_os("socket"));
    return socket;
}

Result<UniqueFd> bind_socket(const Endpoint& endpoint, int type) {
    SUB_TRY_ASSIGN(UniqueFd socket, open_socket(endpoint.address.is_v4(), type));
    // Connections of an earlier listener that are not quite over do not keep the port; a listener does.
    const int on = 1;
    if (type == SOCK_STREAM && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
        return fail(Error::last_os("SO_REUSEADDR"));
    // An address that a route alone makes local has no interface (ipv6(7), ip(7): IP_FREEBIND).
    if (!endpoint.address.is_v4() &&
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on) != 0)
        return fail(Error::last_os("IPV6_FREEBIND"));
    Address address = to_os(endpoint);
    if (::bind(socket.get(), address.get(), address.length) != 0)
        return fail(Error::last_os("bind", to_string(endpoint)));
    return socket;
}

}  // namespace

std::string to_string(const Endpoint& endpoint) {
    const std::string address = endpoint.address.text();
    return (endpoint.address.is_v4() ? address : "[" + address + "]") + ":" + std::to_string(endpoint.port);
}

Result<Endpoint> bound_to(int socket) {
    Address address;
    if (::getsockname(socket, address.get(), &address.length) != 0)
        return fail(Error::last_os("getsockname"));
    return from_os(address);
}

Result<UniqueFd> listen_tcp(const IpAddress& address, std::uint16_t port) {
    SUB_TRY_ASSIGN(UniqueFd socket, bind_socket({address, port}, SOCK_STREAM));
    if (::listen(socket.get(), kBacklog) != 0)
        return fail(Error::last_os("listen", to_string(Endpoint{address, port})));
    return socket;
}

Result<UniqueFd> bind_udp(const IpAddress& address, std::uint16_t port) {
    return bind_socket({address, port}, SOCK_DGRAM);
}

Result<UniqueFd> accept_tcp(int listener) {
    UniqueFd socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) return socket;
    // The second: who came has gone again.
    if (errno == EAGAIN || errno == ECONNABORTED) return UniqueFd();
    return fail(Error::last_os("accept"));
}

Result<UniqueFd> make_tcp(bool v4) { return open_socket(v4, SOCK_STREAM); }

Result<UniqueFd> connect_tcp(const Endpoint& peer) {
    SUB_TRY_ASSIGN(UniqueFd socket, make_tcp(peer.address.is_v4()));
    SUB_TRY(begin_connect(socket.get(), peer));
    return socket;
}

Result<> begin_connect(int socket, const Endpoint& peer) {
    const int on = 1;
    if (::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return fail(Error::last_os("TCP_NODELAY"));
    Address address = to_os(peer);
    if (::connect(socket, address.get(), address.length) != 0 && errno != EINPROGRESS)
        return fail(Error::last_os("connect", to_string(peer)));
    return {};
}

Result<> connect_error(int socket) {
    int error = 0;
    socklen_t length = sizeof error;
    if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        return fail(Error::last_os("SO_ERROR"));
    if (error != 0) return fail(Error::from_os(error, "connect"));
    return {};
}

Result<Endpoint> original_destination(int socket) {
    int family = 0;
    socklen_t length = sizeof family;
    if (::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &length) != 0)
        return fail(Error::last_os("SO_DOMAIN"));
    const bool v4 = family == AF_INET;
    Address address;
    // NOLINTNEXTLINE(bugprone-branch-clone): the two options have one number
    if (::getsockopt(socket, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? SO_ORIGINAL_DST : IP6T_SO_ORIGINAL_DST,
                     address.get(), &address.length) != 0)
        return fail(Error::last_os("SO_ORIGINAL_DST"));
    return from_os(address);
}

void reset_connection(UniqueFd& socket) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    // Without it the peer sees an orderly end instead, which refuses it too.
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    socket.reset();
}

}  // namespace substrate::sys
