#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace substrate {

// An address of the Internet protocol, version 4 or 6, in the order of the network. An IPv4-mapped
// one (::ffff:0:0/96) is always held as the IPv4 address that it stands for. Pure.
class IpAddress {
  public:
    static IpAddress v4(std::uint32_t host_order);
    static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);
    // Four decimal numbers without leading zeros, or RFC 4291 section 2.2 without a zone. Nothing
    // else: "10.1", "0x7f.1" and "127.0.0.01" are no addresses here.
    static std::optional<IpAddress> parse(std::string_view text);

    bool is_v4() const { return bits_ == 32; }
    int bits() const { return bits_; }                           // 32 or 128
    const std::uint8_t* bytes() const { return bytes_.data(); }  // bits() / 8 of them
    std::uint32_t v4_value() const;                              // host order; for is_v4()
    std::string text() const;                                    // RFC 5952
    std::optional<IpAddress> next() const;                       // of the same kind; none behind the last
    auto operator<=>(const IpAddress&) const = default;

  private:
    std::array<std::uint8_t, 16> bytes_{};
    int bits_ = 32;
};

// A prefix: an address whose bits behind the prefix are zero, and its length.
struct IpNetwork {
    IpAddress first;
    int prefix = 0;  // bits

    // "10.0.0.0/8" or an address alone. nullopt also where bits behind the prefix are set.
    static std::optional<IpNetwork> parse(std::string_view text);
    bool contains(const IpAddress& address) const;
    IpAddress last() const;
    std::string text() const;
    auto operator<=>(const IpNetwork&) const = default;
};

// What kind of special purpose an address has (the registries of RFC 6890): "loopback", "private",
// "link-local", …; empty for an address that is globally reachable. Nobody outside should be able
// to make a name lead there.
std::string_view special_purpose(const IpAddress& address);
// The networks of which it says something.
std::vector<IpNetwork> special_networks();

}  // namespace substrate
