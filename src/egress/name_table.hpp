#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/ip_address.hpp"

namespace substrate::egress {

// Gives each name that one world asks for an address of its own, so that a connection says by its
// address which name was meant, whoever else lives at the real one.
class NameTable {
  public:
    // `most` names at a time, at most as many as `network` has addresses but its first and last.
    explicit NameTable(const IpNetwork& network, std::size_t most = kMost);

    // The name's address, always the same while the table knows it. nullopt when the table is full.
    std::optional<IpAddress> address_of(const std::string& name);
    std::optional<std::string> name_of(const IpAddress& address) const;
    bool contains(const IpAddress& address) const { return network_.contains(address); }

    static constexpr std::size_t kMost = 65'536;

  private:
    IpNetwork network_;
    std::size_t most_;
    std::unordered_map<std::string, std::uint32_t> addresses_;  // offsets in the network
    std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace substrate::egress
