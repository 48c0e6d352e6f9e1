#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/ip_address.hpp"
#include "base/result.hpp"

// Names of hosts in the one form in which they are compared.
namespace substrate::policy {

// Lower case, A-labels (RFC 5890), no dot at the end: "xn--bcher-kva.example".
struct DomainName {
    std::string text;
    auto operator<=>(const DomainName&) const = default;
};
using Host = std::variant<DomainName, IpAddress>;

// Errc::invalid with the reason for what is neither an address nor a name that DNS can carry: NUL
// and other control characters, empty or long labels, and everything that some reader takes for an
// address although it is none (a last label that is a number: "127.1", "0x7f000001"). An address may
// stand in brackets.
Result<Host> read_host(std::string_view text);
std::string to_text(const Host& host);

struct HostPort {
    Host host;
    std::uint16_t port = 0;
    bool operator==(const HostPort&) const = default;
};
// "HOST:PORT" or "[ADDRESS]:PORT"; a port of 0 is none.
Result<HostPort> read_host_port(std::string_view text);

// Whether `name` is below `domain`: "a.example.org" is below "example.org".
bool is_below(std::string_view name, std::string_view domain);

}  // namespace substrate::policy
