#pragma once

#include "base/result.hpp"

namespace substrate {

// Substrate's own exit codes; a command's own codes pass through unchanged.
enum class ExitCode : int {
    ok = 0,
    internal = 1,
    usage = 2,
    backend_unavailable = 3,
    unsupported = 4,
    safety_refusal = 5,
    denied = 126,
    command_not_found = 127,
};

ExitCode exit_code_for(Errc code);
inline int to_int(ExitCode code) { return static_cast<int>(code); }

}  // namespace substrate
