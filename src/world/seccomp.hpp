#pragma once

#include <linux/filter.h>

#include <string>
#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"

namespace substrate::world {

// A compiled filter, the same for every command of every world of one mode.
struct SeccompProgram {
    std::vector<sock_filter> instructions;  // empty for SeccompMode::off
    std::string hash;                       // "xxh3:…" over the instructions
};

// Compiles the baseline by libseccomp: what a command must not do whatever its
// rights are. `enforce` answers EPERM (ENOSYS for clone3, so that the C library
// falls back to clone, whose flags can be examined); `log` allows and logs.
Result<SeccompProgram> compile_seccomp(plan::SeccompMode mode);

}  // namespace substrate::world
