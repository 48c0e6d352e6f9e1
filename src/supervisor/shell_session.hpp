#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/channel.hpp"

namespace substrate::supervisor {

// Answers `shell_open`: a live shell for a person at a terminal, whose lines come one by one on this
// connection, each with three descriptors. Every line passes the gate. One that the policies want in another
// world than the shell's runs there, with the descriptors and from the shell's directory. What is wrong with
// a line is in its `done` ("error", an Error's message), and the session goes on; `done` also says "exit",
// "span_id", "notices", "cwd", "alive" (false: the shell has ended), "policy_id", "mode" and "pending": how
// many changes wait for a decision. Returns once the client has closed the shell, or has gone; null then. An
// error: it could not be opened.
Result<Json> serve_shell(Agent& agent, Channel& channel, const Json& request);

}  // namespace substrate::supervisor
