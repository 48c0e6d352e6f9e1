#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "supervisor/session_world.hpp"
#include "trace/writer.hpp"

// What happens to worlds between commands, and at their end.
namespace substrate::supervisor {

// The time from which on a change on the host conflicts with a capture that is made now: of a branch with a
// line of its own, that since when it sees no other.
Result<std::int64_t> capture_time(const Machine& machine, const Store& store,
                                  const std::optional<Branch>& own_line = {});

// What is not in a copy that was made for an earlier command.
Result<std::vector<std::string>> excluded_from(const Store& store, const std::string& slot);

// Does ahead what the next command in an idle world would wait for: makes and marks its
// capture, has it mounted, and a process confined. A failure shows again when the
// command needs it.
void prepare_next(const Machine& machine, Project& project, SessionWorld& idle);

// Makes a world ahead for the next who wants a fresh one, after one was used up. That it
// fails shows when one is needed.
void prepare_standby(const Machine& machine, trace::TraceWriter& trace, Project& project,
                     const Project::Wanted& wanted);

// Brings what background processes have changed since their command ended to
// the host, once they are gone or their world ends.
Result<> settle_background(const Machine& machine, trace::TraceWriter& trace, Project& project,
                           SessionWorld& world);

// Hears what idle worlds have said: settles those whose background work has
// ended, ends those that have died.
void settle_quiet_worlds(const Machine& machine, trace::TraceWriter& trace, Project& project);

// Ends a world: settles what it holds and removes its directory.
void end_world(const Machine& machine, trace::TraceWriter& trace, Project& project,
               std::unique_ptr<SessionWorld> world);

}  // namespace substrate::supervisor
