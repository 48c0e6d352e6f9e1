#pragma once

#include <optional>
#include <string>
#include <vector>

#include "codec/event_json.hpp"
#include "model/exec.hpp"
#include "supervisor/session_world.hpp"
#include "world/init_protocol.hpp"

namespace substrate::supervisor {

// What the world's group holds, and what it does not although nobody asked for it.
void note_group(Span& span, const SessionWorld& world);

// What a span says besides the change: who asked for what, where it ran, and
// what a replay would need.
void fill_span(Span& span, const Machine& machine, const Project& project, const ExecRequest& request,
               const world::ExecOrder& order, const plan::WorldPlan& plan, bool warm);
// Exit code, signal, usage and outcome. `stopped_as` is set when we ended it.
void fill_outcome(Span& span, const std::optional<world::Exited>& exited, std::optional<Outcome> stopped_as);
// Of a command that was ended, or hindered, for want of room: its span's outcome_reason.
inline constexpr const char* kDiskReason = "disk";
// What the world's group has counted of this command: a limit shows in the command as an ended
// process or a failed call only, and nobody could tell from where.
void note_limits(ExecResult& result, SessionWorld& world, const std::optional<world::Exited>& exited,
                 std::optional<Outcome> stopped_as);
// What a change would do to the host, for a person: one line each.
std::vector<std::string> impact_of(const FsDiff& diff);
// "fs.write:<path>" for the topmost changed paths, at most 20.
std::vector<std::string> scopes_of(const FsDiff& diff, const std::string& project);

Event settled_event(const Machine& machine, const Project& project, const SessionWorld& world,
                    const std::string& span_id, const FsDiff& diff, const std::string& state);
Event warning_event(const Machine& machine, const Project& project, const std::string& message);

}  // namespace substrate::supervisor
