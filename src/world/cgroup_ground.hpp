#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

// Where on this machine the groups of worlds can be made. See cgroups(7).
namespace substrate::world {

enum class CgroupController : std::uint8_t { cpu, memory, pids, freezer, io };
inline constexpr std::size_t kCgroupControllers = 5;
const char* to_string(CgroupController controller);  // as version 2 calls it
const char* v1_name(CgroupController controller);

// Below this name, in the group that we live in, each world has its group.
inline constexpr const char* kCgroupParent = "substrate";
// And beside the worlds' our own processes live, where they had to step aside.
inline constexpr const char* kCgroupAgentLeaf = "agent";

// Our own group in one hierarchy.
struct CgroupPlace {
    std::string directory;  // where it is to be seen; empty when no mount shows it
    bool read_only = false;
    std::string problem;  // why `directory` is empty
    bool operator==(const CgroupPlace&) const = default;
};

struct CgroupGround {
    std::optional<CgroupPlace> unified;  // version 2
    // Version 1, by controller. A controller belongs to one hierarchy only: those that are
    // absent here are version 2's, where that has them.
    std::array<std::optional<CgroupPlace>, kCgroupControllers> v1;
    // Processes that may be moved to `substrate/agent`, where version 2 wants the group
    // empty before it shares out a controller.
    std::vector<pid_t> movable;
    // Whether `substrate` stays when its last group goes, until remove_empty_parents(): to make it
    // anew takes as long as to make a group.
    bool keep_parents = false;

    const std::optional<CgroupPlace>& of(CgroupController controller) const {
        return v1[static_cast<std::size_t>(controller)];
    }
    bool operator==(const CgroupGround&) const = default;
};

// Pure. `mountinfo` is the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)), `self_cgroup` that
// of /proc/PID/cgroup (cgroups(7)), both of one process. A group "…/substrate/agent" is that of
// a process that has stepped aside: the place is then the group above.
CgroupGround locate_cgroups(std::string_view mountinfo, std::string_view self_cgroup);

// The same of this process, which is the one that may be moved. A machine without
// cgroups is an empty ground and no error.
Result<CgroupGround> find_cgroup_ground();

// The names of controllers that groups below ours could have, as version 2 calls them.
std::vector<std::string> controllers_of(const CgroupGround& ground);

}  // namespace substrate::world
