#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "shell/output_watch.hpp"

namespace substrate::shell {

// A command as a child of ours, where we are.
struct LocalCommand {
    std::string program;
    std::vector<std::string> argv;
    std::vector<std::string> environment;  // "NAME=value"
    std::string cwd;
    std::int64_t timeout_ms = 0;  // 0: none; TERM then, KILL two seconds later
};
struct LocalEnd {
    int exit = 0;    // 128 + signal where there was one
    int signal = 0;  // 0: none
    bool timed_out = false;
};

// Runs it with our standard streams, or those of `watch`, which may be null. Signals that reach us are passed
// on, but for those of the terminal, which the command gets as well.
Result<LocalEnd> run_locally(const Env& env, LocalCommand command, OutputWatch* watch);

// The streams that background processes of a command still hold: another process goes on relaying, so that
// we can end as the command has. What fails is for the caller to tell.
Result<> relay_leftovers(const OutputWatch& watch);

}  // namespace substrate::shell
