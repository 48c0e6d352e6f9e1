#include "egress/name_table.hpp"

#include <algorithm>

namespace substrate::egress {

NameTable::NameTable(const IpNetwork& network, std::size_t most)
    : network_(network),
      most_(std::min<std::size_t>(most, (std::size_t{1} << (network.first.bits() - network.prefix)) - 2)) {}

std::optional<IpAddress> NameTable::address_of(const std::string& name) {
    const auto known = addresses_.find(name);
    if (known != addresses_.end()) return IpAddress::v4(network_.first.v4_value() + known->second);
    if (addresses_.size() >= most_) return std::nullopt;
    const auto offset = static_cast<std::uint32_t>(addresses_.size() + 1);
    addresses_.emplace(name, offset);
    names_.emplace(offset, name);
    return IpAddress::v4(network_.first.v4_value() + offset);
}

std::optional<std::string> NameTable::name_of(const IpAddress& address) const {
    if (!network_.contains(address)) return std::nullopt;
    const auto known = names_.find(address.v4_value() - network_.first.v4_value());
    return known == names_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace substrate::egress
