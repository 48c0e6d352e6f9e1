#pragma once

#include <cstddef>
#include <string>

#include "broker/approval_question.hpp"
#include "broker/approvals.hpp"

// The question whether a command may run, on a terminal.
namespace substrate::shell {

using broker::ApprovalQuestion;

// The question for a terminal of `width` columns (0: not known), ending in a newline. What
// comes from outside goes through printable() and stands behind a "| " that it cannot
// imitate: no line is left to the terminal to wrap. Texts are cut to a few lines; a line
// without "| " then says how many bytes are left out.
std::string render_question(const ApprovalQuestion& question, std::size_t width, bool colour);
// The command, what its approval would cover, and the impact, in full.
std::string render_whole(const ApprovalQuestion& question, std::size_t width);

struct AskOptions {
    bool colour = false;
    // Not -1: readable or closed means that nobody waits for the answer any more.
    int cancel_fd = -1;
};

// Asks the person at the controlling terminal `tty_fd`, which stays the caller's; it is
// given back with the settings that it had. What was typed before the prompt stands there
// approves nothing. Denies when the person does (d, Enter, the end of input, Ctrl-C), after
// four answers that are none, at the time limit, at SIGTERM or SIGHUP (which stay pending,
// or end the process once the terminal is restored), and without a question when
// `tty_fd` is not our terminal or another process group is in its foreground. Ctrl-Z stops
// the process; when it comes back the prompt does. For the thread that
// handles the process's signals. Says in one line on the terminal what was answered, and why
// it was denied.
broker::Answer ask_on_terminal(const ApprovalQuestion& question, int tty_fd, const AskOptions& options = {});

}  // namespace substrate::shell
