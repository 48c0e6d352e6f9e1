#pragma once

#include <linux/filter.h>

#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "process/parked.hpp"
#include "world/network.hpp"
#include "world/setup.hpp"

namespace substrate::world {

// The process of the first command, which detaches the old root once told, joins the world's network, and
// confines itself: all beside the setting up of what captures need.
Result<process::ParkedChild> park_first(const plan::WorldPlan& plan, const std::vector<sock_filter>& seccomp);

// The rest of world-init's life: runs commands one at a time as the supervisor
// orders, reaps everything, unmounts a capture once nothing lives on it.
// Returns when the supervisor's end of the socket is gone; the exit of PID 1
// then ends every process of the world.
// The door goes to the supervisor with the first event, what serves the network with the first command's.
Result<> serve_world(int control, const plan::WorldPlan& plan, Staging staging,
                     const std::vector<sock_filter>& seccomp, process::ParkedChild first, OwnNetwork network);

}  // namespace substrate::world
