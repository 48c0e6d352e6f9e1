#pragma once

#include <string>
#include <vector>

#include "model/scope_token.hpp"
#include "supervisor/gate.hpp"

namespace substrate::supervisor {

// What a command that has passed the gate may use, in the words of policies: what it may write of `project`
// and reach by network. What only some of the policies that hold write down in the same words is left out,
// though they may permit it together.
std::vector<GrantedScope> granted_scopes(const Passage& passage, const std::string& project);

}  // namespace substrate::supervisor
