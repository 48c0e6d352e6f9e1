#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "sys/netlink.hpp"

// Network devices with their addresses and routes (rtnetlink(7)).
namespace substrate::sys {

using HardwareAddress = std::array<std::uint8_t, 6>;

// Of a device in the current net namespace. Errc::os where there is none.
Result<std::uint32_t> interface_index(const std::string& name);

struct VethEnd {
    std::string name;
    HardwareAddress hardware{};
};

// Messages for NETLINK_ROUTE. Unlike the rules of nftables they are taken one by one.
class LinkBatch {
  public:
    // A pair of devices: `here` in the namespace of the socket, `there` in the one that is open as `net`.
    // Both are down.
    void add_veth(const VethEnd& here, const VethEnd& there, int net);
    void remove(std::uint32_t interface);
    // With `ipv6`, which the kernel then must have, it gives itself no address first.
    void raise(std::uint32_t interface, bool ipv6);
    // Alone on its network: nobody is a neighbour by it.
    void add_address(std::uint32_t interface, const IpAddress& address);
    // Where `address` is, once and for all: nobody is asked.
    void add_neighbour(std::uint32_t interface, const IpAddress& address, const HardwareAddress& hardware);
    // To one address, or, nullopt, to all that have no other route; by `gateway`, or directly. Fails where
    // there is a route already (EEXIST).
    void add_route(std::uint32_t interface, const std::optional<IpAddress>& to,
                   const std::optional<IpAddress>& gateway);

    NetlinkBatch& netlink() { return batch_; }

  private:
    NetlinkBatch batch_;
};

}  // namespace substrate::sys
