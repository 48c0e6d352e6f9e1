#pragma once

#include <string>

#include "base/result.hpp"
#include "model/fs_diff.hpp"
#include "shell/console.hpp"

namespace substrate::shell {

// Prints by diff(1) how the regular files of a kept change in `captured` differ
// from those of `project`. Errc::unsupported without diff(1).
Result<> show_patch(const Console& console, const FsDiff& diff, const std::string& captured,
                    const std::string& project);

}  // namespace substrate::shell
