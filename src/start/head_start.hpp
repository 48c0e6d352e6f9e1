#pragma once

#include <signal.h>

#include <initializer_list>

#include "start/output_ends.hpp"
#include "start/terminal_settings.hpp"

// The C library needs a third of a millisecond to set itself up. `substrate -c LINE`, the
// form that agents and shells use, does not wait for it: the entry point of the program
// connects to the agent and sends the request before anything else, and the agent works on
// it while the rest of the program starts. Where anything is out of the ordinary (other
// arguments, no agent, a closed stream, a world around us) nothing is sent and the
// ordinary client does it all.
//
// Everything in this library runs before relocation, thread-local storage and IFUNCs are
// there: it calls nothing outside of itself. A test looks at its object files.
namespace substrate::start {

// Signals that are the command's, not ours.
inline constexpr std::initializer_list<int> kPassedSignals = {SIGINT,  SIGTERM,  SIGHUP,  SIGQUIT, SIGTSTP,
                                                              SIGCONT, SIGWINCH, SIGUSR1, SIGUSR2, SIGPIPE};

struct HeadStart {
    bool taken = false;  // the request has been sent; nothing below holds otherwise
    int socket = -1;     // to the agent; the caller's to close, as the pipes of `output`
    bool ephemeral = false;
    const char* line = nullptr;
    OutputEnds output;
    TerminalSettings terminal;  // from before the command could change them
};

// What the entry point has done. kPassedSignals are blocked where it was taken.
const HeadStart& head_start();

}  // namespace substrate::start
