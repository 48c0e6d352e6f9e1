#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "egress/gateway.hpp"
#include "egress/kernel_path.hpp"

// What the gateway holds of one world; for its own files.
namespace substrate::egress {

inline constexpr std::size_t kSockets = 3, kMostSockets = 4;  // of a world: see world/uplink.hpp

void put_verdict(Json& event, const policy::NetVerdict& verdict);

// A TCP client of the name server: messages with their length in front (RFC 1035 section 4.2.2).
struct NameClient {
    sys::UniqueFd socket;
    std::string received;
    EventLoop::Timer timer = 0;
};

struct Gateway::World {
    std::string id;
    AccessRules rules;
    NameTable names;
    std::optional<KernelPath> kernel;  // with a veth pair
    bool ipv6 = false;
    std::vector<sys::UniqueFd> sockets;
    Meter meter;
    ActivityNote activity;
    std::uint64_t command = 0;  // the last that has begun here, as the page counts them
    std::string agent;
    std::optional<std::uint64_t> agent_bytes;
    bool budget_told = false;
    std::uint64_t next_connection = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections;
    std::size_t waiting = 0;  // for their name to be resolved
    std::unordered_map<int, NameClient> name_clients;

    World(EventLoop& loop, std::string name, AccessRules with, const NameTable::Networks& networks,
          std::vector<sys::UniqueFd> served, ActivityNote note)
        : id(std::move(name)),
          rules(std::move(with)),
          names(networks),
          sockets(std::move(served)),
          meter(loop),
          activity(std::move(note)) {
        apply_limits();
    }
    void apply_limits() {
        meter.limit_total(rules.total_bytes());
        meter.limit_rate(rules.bytes_per_sec());
    }
};

}  // namespace substrate::egress
