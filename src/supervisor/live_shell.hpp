#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/session_world.hpp"
#include "sys/unique_fd.hpp"
#include "trace/writer.hpp"
#include "world/init_protocol.hpp"

namespace substrate::supervisor {

// A bash that lives on from one line to the next, in a world and on a terminal of its own: directory,
// variables, functions and jobs stay. It reads its lines from a socket and not from the terminal, and
// answers each on the same socket when it is done: a line's own programs have neither. Its world's
// capture lives on too, as background processes hold one; what each line has changed is told apart because
// it is brought to the host, or counted as undecided, when the line is done.
// Not thread-safe; one line at a time (see run_line in executor.hpp).
class LiveShell {
  public:
    // `wanted` is what its world was made for. The socket is our end.
    LiveShell(std::unique_ptr<SessionWorld> world, Project::Wanted wanted, CommitMode commit,
              sys::UniqueFd socket);
    // Without end(), what was changed and is undecided is left to gc.
    ~LiveShell();
    LiveShell(const LiveShell&) = delete;
    LiveShell& operator=(const LiveShell&) = delete;

    // Makes an order that starts such a bash on a terminal, with the socket as its input.
    static void fill_order(world::ExecOrder& order, const ExecRequest& request);
    // Until the first line can be given. Must be called first. An error: it has not started.
    Result<> await_start(const Machine& machine, ExecResult& result);

    // False: it has ended, and its world has gone another way.
    bool alive() const { return world_ != nullptr; }
    // The master of its terminal.
    int terminal() const { return terminal_.get(); }
    // Readable when bash has something to report.
    int fd() const { return socket_.get(); }
    // Readable when its world has something to say, while it is alive.
    int world_fd() const { return world_->world.event_fd(); }
    const std::string& world_id() const { return world_id_; }
    // Hears that. False: bash has ended, between two lines.
    Result<bool> hear_world();
    // Between two lines: who asks at the world's door, in the background, while it is alive.
    NestedDoor& door() { return world_->door; }

    // Why a line that has passed the gate cannot be run in this world; empty: it can.
    std::string misfit(const Passage& passage) const;
    // Has bash run the line, which must not hold a NUL character. `$?` is what the line before has left.
    Result<> run(const std::string& line);
    struct Report {
        int exit = 0;
        std::string cwd;  // absolute
    };
    // The end of that line; nullopt: not yet. Errc::unavailable when bash has ended.
    Result<std::optional<Report>> receive();
    const std::string& cwd() const { return cwd_; }
    // What `$?` is for the next line, when what came before it was not run here.
    void set_status(int exit) { status_ = exit & 0xff; }
    // Between two lines: what a word could become, as bash's `compgen -A` says. A kind of `command`,
    // `variable`, or `file` (directories end in a slash). At most kMostWords; empty when bash does not answer
    // soon.
    static constexpr std::size_t kMostWords = 1000;
    Result<std::vector<std::string>> complete(const std::string& kind, const std::string& word);
    // An interrupt, as by the terminal's key.
    void interrupt() const;

    // For the execution of a line: the world, and its way back when bash lives on.
    std::unique_ptr<SessionWorld> lend() { return std::move(world_); }
    void take_back(std::unique_ptr<SessionWorld> world) { world_ = std::move(world); }
    // The strictest mode that any of its lines had.
    void note_commit(CommitMode mode) { commit_ = std::max(commit_, mode); }

    // Ends bash, everything it has started, and its world. What is not on the host yet is brought there or
    // kept, as its lines would have it.
    void end(const Machine& machine, trace::TraceWriter& trace, Project& project);

  private:
    Result<> keep_changes(const Machine& machine, Project& project);

    std::unique_ptr<SessionWorld> world_;
    std::string world_id_;
    Project::Wanted wanted_;
    CommitMode commit_;
    sys::UniqueFd socket_;
    sys::UniqueFd terminal_;
    std::string received_;
    std::uint64_t number_ = 0;  // of the line that was given last
    std::string cwd_;
    int status_ = 0;  // of what was run last
};

}  // namespace substrate::supervisor
