#pragma once

#include <linux/filter.h>

#include <array>
#include <mutex>
#include <optional>
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
Result<SeccompProgram> compile_seccomp(SeccompMode mode);

// The program of each mode, compiled when it is first wanted. Thread-safe.
class SeccompPrograms {
  public:
    // Owned by this.
    Result<const SeccompProgram*> of(SeccompMode mode) const;

  private:
    mutable std::mutex mutex_;
    mutable std::array<std::optional<SeccompProgram>, 3> programs_;
};

}  // namespace substrate::world
