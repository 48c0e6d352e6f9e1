#pragma once

#include <string>

#include "base/result.hpp"
#include "plan/world_plan.hpp"

namespace substrate::world {

struct FuseOverlay {
    std::string lower;
    std::string upper;
    std::string work;
    std::string mount_point;
};

// Runs fuse-overlayfs. It returns once its mount is live and goes on in the
// background as a process of this pid namespace. Succeeds only when a FUSE
// file system is then at the mount point.
Result<> run_fuse_overlayfs(const std::string& program, const FuseOverlay& overlay);

// Mounts a world's only slot on `<staging>/fuse`, over `<staging>/lower`. Before
// the new root is entered, because the program and /dev/fuse are the host's.
Result<> mount_fuse_capture(const plan::WorldPlan& plan, const std::string& staging);

}  // namespace substrate::world
