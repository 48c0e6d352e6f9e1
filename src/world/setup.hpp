#pragma once

#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::world {

// What stays open of the host's tree once the world's root is in place: only
// world-init holds these, and no path inside the world leads to them.
struct Staging {
    sys::UniqueFd lower;    // the host's project, read-only for overlay and copy-diff
    sys::UniqueFd store;    // the project's capture store, writable
    sys::UniqueFd project;  // the directory in the world on which captures are mounted
    sys::UniqueFd alias;    // where they are mounted as well; may be none
    sys::UniqueFd empty;    // an empty read-only directory, for masks
    sys::UniqueFd fuse;     // fuse strategy: the mounted capture
    sys::UniqueFd door;     // a listening socket at the plan's door; may be none
};

// Runs in world-init first of all, while it has one thread: moves it into each group whose file `tasks` this
// is.
Result<> join_cgroups(const std::vector<sys::UniqueFd>& tasks);

// Runs in world-init, inside its new namespaces and before any command. Turns
// the plan into mounts in one visible order and enters the new root. An error
// names its step; the caller then exits, which removes everything.
Result<Staging> set_up_world(const plan::WorldPlan& plan);

// Mounts an empty read-only directory or /dev/null over `path`, resolved inside
// `root`. A path that does not exist needs no mask.
Result<> mask_path(int root, const std::string& path, int empty_directory);

}  // namespace substrate::world
