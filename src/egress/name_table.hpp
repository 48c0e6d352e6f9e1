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
    // Of version 4 and of version 6; at most 32 bits of an address tell its networks' names apart.
    struct Networks {
        IpNetwork v4, v6;
    };
    // `most` names at a time, at most as many as a network has addresses but its first and last.
    explicit NameTable(const Networks& networks, std::size_t most = kMost);

    // The name's address in one of the networks, always the same while the table knows it. nullopt when the
    // table is full.
    std::optional<IpAddress> address_of(const std::string& name, bool ipv6);
    std::optional<std::string> name_of(const IpAddress& address) const;
    bool contains(const IpAddress& address) const {
        return networks_.v4.contains(address) || networks_.v6.contains(address);
    }

    static constexpr std::size_t kMost = 65'536;

  private:
    Networks networks_;
    std::size_t most_;
    std::unordered_map<std::string, std::uint32_t> addresses_;  // offsets in the networks
    std::unordered_map<std::uint32_t, std::string> names_;
};

}  // namespace substrate::egress
