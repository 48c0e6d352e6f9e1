#pragma once

#include "shell/run.hpp"

namespace substrate::shell {

// Whether we are in a world: by its door, whatever the environment says.
bool inside_world();

// `substrate` inside a world: asks at the world's door, and what may run runs here, as a child of ours, under
// all that holds in the world. What is not judged does not run.
Result<ExecResult> run_nested(const Console& console, RunOptions options, bool on_host);

// The error of a command that has no meaning inside a world.
Error only_outside(const std::string& what);

}  // namespace substrate::shell
