#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::supervisor {

class Agent;

// The answer to a `status` request: the agent, its projects, their worlds and
// what is kept of their changes.
Result<Json> describe_status(Agent& agent);

}  // namespace substrate::supervisor
