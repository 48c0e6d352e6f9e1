#pragma once

#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::world {

// What the gateway serves a world by, in this order: a listening TCP socket, and the name server's UDP and
// listening TCP sockets.
inline constexpr std::size_t kUplinkSockets = 3;

// Makes the way out in the current net namespace, which is new and has its loopback up: rules, routes, and
// the sockets, which stay in this namespace wherever they travel. Before anything of the world runs.
Result<std::vector<sys::UniqueFd>> raise_uplink(const plan::UplinkPlan& plan);

}  // namespace substrate::world
