#pragma once

#include "plan/world_plan.hpp"

// How a world's FsAccess becomes mounts, and what Landlock forbids beside them. Internal to the planner.
namespace substrate::plan {

// The host's tree at "/": everything read-only, or with full isolation the system's own part of it.
void add_host_tree(std::vector<MountOp>& ops, const WorldSpec& spec, const HostFacts& facts);

// `fs` as this machine can hold it: without a guard, rules leave open only what they permit whole, and
// `plan.degradations` says so. Errors: Errc::unsupported where it must be held.
Result<FsAccess> enforceable(FsAccess fs, WorldPlan& plan, const std::string& project,
                             const HostFacts& facts);

// What is writable, readable and hidden beside that, into `ops` and `plan.capture`; what
// cannot be done as asked, into `plan.degradations`.
void add_fs_access(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec);

// Shows the host's sockets that policies name, where nothing of `ops` hides them; a degradation says which
// are not shown. After the masks.
void show_sockets(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec);

// Hides the host's other sockets that `ops` show.
void hide_sockets(std::vector<MountOp>& ops, WorldPlan& plan, const WorldSpec& spec);

// What is held by name. Errors: Errc::unsupported where that cannot be had and must be.
Result<> add_guard(WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts);

// The rules for the operations of `plan.mounts`. Without a usable ABI: none, and a degradation.
void add_landlock(WorldPlan& plan, const WorldSpec& spec, const HostFacts& facts);

}  // namespace substrate::plan
