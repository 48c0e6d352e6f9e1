#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/branches.hpp"

// Worlds and snapshots that are made by requests of their own.
namespace substrate::supervisor {

inline constexpr std::size_t kMostMadeWorlds = 1'024;  // of one agent
inline constexpr std::size_t kMostSnapshots = 64;

struct MadeFor {
    std::string agent_id;
    std::string name;  // may be empty
};

// Finds or makes the world that the next command in `cwd` would want, waits until it is ready, and does ahead
// what that command would wait for. `world_id`: a branch's; empty: one for everybody. Returns its id.
Result<std::string> warm_world(Agent& agent, Project& project, const std::string& cwd,
                               const std::string& world_id);

// A session world for the project of `cwd` that only those use who name it. What its commands change goes
// where the policy says, as without it. Errc::conflict when there are too many.
Result<Branch> make_world(Agent& agent, const std::string& cwd, const MadeFor& made_for);

// A world that shows the project as `source`, a world or a snapshot, does now, undecided changes included.
// From then on neither sees what the other does; what it changes is kept until somebody applies it.
// Errc::not_found for no such source, Errc::conflict while a command or what it left runs there or when there
// are too many, Errc::unsupported where changes cannot lie on each other.
Result<Branch> fork_world(Agent& agent, Project& project, const std::string& source, const MadeFor& made_for);

// The same without a world: nothing runs in it and nothing changes it.
Result<Branch> take_snapshot(Agent& agent, Project& project, const std::string& source,
                             const MadeFor& made_for);

// Ends a world and forgets it. Errc::conflict while a command runs in it, and while it has changes of its own
// that nobody has decided about.
Result<> remove_world(Agent& agent, Project& project, const std::string& id);

// After changes of a branch were applied or discarded: a snapshot of which nothing is left is forgotten; a
// world that has brought all of its own to the host sees the host as it is from now on.
Result<> settle_branch(const Machine& machine, Project& project, const std::string& id, bool applied);

}  // namespace substrate::supervisor
