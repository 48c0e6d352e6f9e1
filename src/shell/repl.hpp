#pragma once

#include "model/exec.hpp"
#include "shell/console.hpp"

namespace substrate::shell {

// `substrate` at a terminal: reads lines and runs them, one by one, in one shell that lives in a world.
// `request` is what they have in common; its command does not count. Returns the exit code: that of the line
// that was last, or of `exit`.
int run_repl(const Console& console, ExecRequest request);

}  // namespace substrate::shell
