#pragma once

#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::shell {

// The client's part of an approval: asks the person at the terminal what the agent wants to
// know, or, without a question in the message, says whether there is a terminal at all. The
// answer is a word of broker::Answer, or "nobody". `agent_fd` is the connection: when it
// ends, the question has lost its sense.
Result<std::string> answer_approval(const Json& message, int agent_fd);

}  // namespace substrate::shell
