#pragma once

#include "codec/json_value.hpp"
#include "model/exec.hpp"
#include "shell/console.hpp"
#include "shell/output_watch.hpp"
#include "start/head_start.hpp"

namespace substrate::shell {

struct RunOptions {
    ExecRequest request;
    OutputWatch::Terminals terminals = OutputWatch::Terminals::leave_alone;
    bool merge_output = false;
    bool want_span = false;
    bool terminal = false;  // a terminal of the world's own in the place of ours
    bool quiet = false;     // notices are the caller's to show
};

// Everything of a request that comes from this process: working directory,
// selected environment, umask.
Result<> fill_from_process(const Console& console, ExecRequest& request);
// Its TRACEPARENT; says so when that cannot be read.
void take_traceparent(const Console& console, ExecRequest& request);

// Shows the change of an `ask_commit` on the controlling terminal and asks whether to apply it: no, where
// there is none.
Result<bool> ask_commit_on_terminal(const Json& question);

// Runs one command in a world by way of the agent, with our standard streams
// as the command's own. Signals that reach us are passed on.
Result<ExecResult> run_in_world(const Console& console, RunOptions options);

// Runs it on the host, unconfined, because that was asked for; recorded as such.
Result<ExecResult> run_on_host(const Console& console, const RunOptions& options);

// `substrate -c` whose request is on its way already; otherwise as run_command.
int run_started(const Console& console, const start::HeadStart& begun);

// `substrate -c`: runs, shows notices, returns the command's exit code.
int run_command(const Console& console, RunOptions options, bool on_host);

}  // namespace substrate::shell
