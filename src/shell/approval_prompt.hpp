#pragma once
#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"
namespace substrate::shell {
// The client's part of an approval: "once", "session", "always", "deny", or "nobody" without a terminal.
Result<std::string> ask_for_approval(const Json& message);
}  // namespace substrate::shell
