#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "supervisor/session_world.hpp"

namespace substrate::supervisor {

enum class CheckResult : std::uint8_t { pass, fail, skip };
const char* to_string(CheckResult result);

// One thing that worlds promise, tried on this machine.
struct Check {
    std::string id;
    CheckResult result = CheckResult::skip;
    std::string detail;  // what was seen; why it failed or did not run
    // Whether it speaks of what holds a command back, and not only of worlds working.
    bool enforcement = true;
};

// Makes a scratch project in `root`, an existing directory, tries in worlds of it what
// commands must not be able to do, and removes all of it again. Errors: the scratch could not be made.
Result<std::vector<Check>> verify_worlds(const Machine& machine, const std::string& root);

}  // namespace substrate::supervisor
