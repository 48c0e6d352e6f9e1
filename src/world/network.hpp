#pragma once

#include <sys/types.h>

#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::world {

// A world's own network: its namespace and, where it has a way out, what that is served by (uplink.hpp).
struct OwnNetwork {
    sys::UniqueFd ns;  // none: the world shares the host's
    std::vector<sys::UniqueFd> uplink;
    pid_t maker = -1;  // the process that made it: has done its work, and is to be reaped
};

// Makes a world's network by a process of its own, a child of ours that ends by itself. The namespace, its
// rules and routes take as long as half the mounts do, beside which they are made. For a process of one
// thread.
class NetworkMaker {
  public:
    // Nothing is begun for a world on the host's network.
    static Result<NetworkMaker> begin(const plan::WorldPlan& plan);
    // Waits for what was begun. Once only.
    Result<OwnNetwork> finish();

  private:
    sys::UniqueFd socket_;
    pid_t pid_ = -1;
};

}  // namespace substrate::world
