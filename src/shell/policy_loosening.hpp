#pragma once

#include <string>
#include <vector>

#include "model/policy.hpp"

namespace substrate::shell {

// What `after` permits and `before` does not, value by value: one line each, "commands.denied
// no longer has: sudo *"; safe to print. Patterns are compared as texts: one that is replaced
// by a wider one counts as gone.
std::vector<std::string> loosened(const Policy& before, const Policy& after);

}  // namespace substrate::shell
