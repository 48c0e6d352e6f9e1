#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/unique_fd.hpp"
#include "world/init_protocol.hpp"

// What a world's network has on the host. Needs plan::HostFacts::veth.
namespace substrate::world {

// The name of a network among those of the host, as ip-netns(8) has them: a file below /run/netns on which
// the network is mounted.
class NetworkName {
  public:
    // Errc::conflict where the name is taken.
    static Result<NetworkName> give(int network, std::string name);
    // Also of a world that is gone. Nothing happens where there is no such name.
    static Result<> remove(const std::string& name);
    NetworkName(NetworkName&& other) noexcept : name_(std::exchange(other.name_, {})) {}
    NetworkName& operator=(NetworkName&& other) noexcept;
    ~NetworkName() { reset(); }

  private:
    explicit NetworkName(std::string name) : name_(std::move(name)) {}
    void reset();
    std::string name_;
};

// The host's end of a world's veth pair: a device "sub-<short id>", a route to the world's one address, and
// a table "inet substrate_<short id>" with the rule that lets the world's packets leave as the host's. The
// table goes with whoever made it, the device with the world's network.
class HostLink {
  public:
    // Errc::unsupported where the host does not forward packets: that is not ours to change.
    static Result<HostLink> make(int network, const plan::UplinkPlan& plan);
    HostLink(HostLink&& other) noexcept { *this = std::move(other); }
    HostLink& operator=(HostLink&& other) noexcept;
    ~HostLink() { reset(); }

    // For the world's end.
    const LinkOrder& order() const { return order_; }
    bool ipv6() const { return order_.addresses.size() > 1; }

  private:
    HostLink() = default;
    Result<> connect(const plan::UplinkPlan& plan);
    void reset();

    sys::UniqueFd table_owner_;
    std::uint32_t interface_ = 0;  // 0: none
    LinkOrder order_;
};

}  // namespace substrate::world
