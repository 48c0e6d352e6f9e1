#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "model/exec.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/idle_worlds.hpp"
#include "supervisor/live_shell.hpp"
#include "supervisor/nested_door.hpp"
#include "supervisor/session_world.hpp"
#include "trace/writer.hpp"

namespace substrate::supervisor {

// How a running command hears from whoever asked for it.
class Caller : public Asker {
  public:
    // Readable when there is something to hear.
    virtual int fd() const = 0;
    struct Word {
        bool gone = false;             // nobody waits for the command any more
        int signal = 0;                // to be passed on
        Outcome as = Outcome::killed;  // of a command that ends because nobody waits
    };
    virtual Result<Word> hear() = 0;
    // Of a request for a terminal, before the command starts: its master.
    virtual void take_terminal(sys::UniqueFd) {}
    // Counts what the command runs by the door of its world; null: nobody does.
    virtual std::shared_ptr<NestedAllowance> nested_allowance() { return nullptr; }
    // The command has ended: the caller sums up its output while the change is computed.
    virtual Result<> tell_ended(int exit) = 0;
    // What the command wrote, as the caller observed it; after tell_ended().
    virtual Result<OutputRecord> take_output() = 0;
    // Whether to bring this change to the host now.
    virtual Result<bool> ask_commit(const FsDiff& diff) = 0;
    // The span is written and this is the result: what follows is housekeeping.
    virtual void conclude(const ExecResult& result) = 0;
};

// Runs one command of `project` that has passed the gate, from plan to span: acquires a world, executes,
// computes the change, commits it as the request says, writes the span, tells
// the caller, and makes the world ready for the next command. An error means that the command
// did not start; once it has, the span is written and the caller told whatever happens.
Result<> execute(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, Project& project,
                 const Passage& passage, const std::string& span_id, const int (&stdio)[3], Caller& caller);

// Starts a shell that runs lines one after another, for a request of its own that has passed the gate:
// its command does not count, its directory, environment and terminal do. Errc::conflict where changes of
// the project wait for a decision, which the shell's own could not be told from.
Result<std::unique_ptr<LiveShell>> open_shell(const Machine& machine, trace::TraceWriter& trace,
                                              broker::Broker& broker, Project& project,
                                              const Passage& passage, const std::string& span_id,
                                              Caller& caller);

// As execute(), for one line of a live shell. Afterwards shell.alive() says whether there is another.
Result<> run_line(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, Project& project,
                  const Passage& passage, const std::string& span_id, LiveShell& shell, Caller& caller);

}  // namespace substrate::supervisor
