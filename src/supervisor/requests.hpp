#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "supervisor/agent.hpp"

namespace substrate::supervisor {

// Answers a request of the control protocol that needs no more than its message: all but
// `exec` and `judge`, which talk to their caller. See protocol.hpp for the members.
Result<Json> answer_plain(Agent& agent, const Json& request);

}  // namespace substrate::supervisor
