#include "egress/name_table.hpp"

#include <algorithm>
#include <array>

namespace substrate::egress {
namespace {

std::size_t size_of(const IpNetwork& network) {
    return (std::size_t{1} << std::min(network.first.bits() - network.prefix, 32)) - 2;
}

// Its last 32 bits.
std::uint32_t tail_of(const IpAddress& address) {
    const std::uint8_t* at = address.bytes() + address.bits() / 8 - 4;
    return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

IpAddress address_at(const IpNetwork& network, std::uint32_t offset) {
    const std::uint32_t tail = tail_of(network.first) + offset;
    if (network.first.is_v4()) return IpAddress::v4(tail);
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(network.first.bytes(), bytes.size(), bytes.begin());
    for (std::size_t i = 0; i < 4; ++i) bytes[12 + i] = static_cast<std::uint8_t>(tail >> (24 - 8 * i));
    return IpAddress::v6(bytes);
}

}  // namespace

NameTable::NameTable(const Networks& networks, std::size_t most)
    : networks_(networks), most_(std::min({most, size_of(networks.v4), size_of(networks.v6)})) {}

std::optional<IpAddress> NameTable::address_of(const std::string& name, bool ipv6) {
    const IpNetwork& network = ipv6 ? networks_.v6 : networks_.v4;
    const auto known = addresses_.find(name);
    if (known != addresses_.end()) return address_at(network, known->second);
    if (addresses_.size() >= most_) return std::nullopt;
    const auto offset = static_cast<std::uint32_t>(addresses_.size() + 1);
    addresses_.emplace(name, offset);
    names_.emplace(offset, name);
    return address_at(network, offset);
}

std::optional<std::string> NameTable::name_of(const IpAddress& address) const {
    if (!contains(address)) return std::nullopt;
    const IpNetwork& network = address.is_v4() ? networks_.v4 : networks_.v6;
    const auto known = names_.find(tail_of(address) - tail_of(network.first));
    return known == names_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace substrate::egress
