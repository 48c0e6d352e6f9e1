#pragma once

#include "shell/console.hpp"

namespace substrate::shell {

// What main() of each program with a console is: standard streams that exist, the environment as it is,
// the home. Returns the exit code, of `run` or of what failed before it.
int run_program(int argc, char** argv, int (*run)(const Console& console, int argc, char** argv));

}  // namespace substrate::shell
