#pragma once

#include <cstdint>
#include <string>

#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Sockets of the Internet protocols (ip(7), tcp(7), udp(7)). All are close-on-exec and do not block.
namespace substrate::sys {

struct Endpoint {
    IpAddress address;
    std::uint16_t port = 0;
    bool operator==(const Endpoint&) const = default;
};
// "127.0.0.1:80", "[::1]:80".
std::string to_string(const Endpoint& endpoint);

Result<UniqueFd> listen_tcp(const IpAddress& address, std::uint16_t port);
// Where a socket is bound: the port that the kernel has chosen for 0.
Result<Endpoint> bound_to(int socket);
Result<UniqueFd> bind_udp(const IpAddress& address, std::uint16_t port);
// The next connection, which does not block either; an empty descriptor when none waits.
Result<UniqueFd> accept_tcp(int listener);
// Not connected yet, in our network namespace.
Result<UniqueFd> make_tcp(bool v4);
// Begins to connect; the socket is writable once that has ended, and connect_error() says how.
Result<UniqueFd> connect_tcp(const Endpoint& peer);
// The same with a socket of the peer's family, which may be of another network namespace.
Result<> begin_connect(int socket, const Endpoint& peer);
Result<> connect_error(int socket);
// Where the peer of an accepted connection wanted to go before netfilter redirected it.
Result<Endpoint> original_destination(int socket);
// Closes with a reset: the peer learns at once that it was refused (SO_LINGER).
void reset_connection(UniqueFd& socket);

}  // namespace substrate::sys
