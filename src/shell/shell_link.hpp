#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/exec.hpp"
#include "shell/console.hpp"
#include "supervisor/client.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::shell {

// What is known of a shell between two lines.
struct ShellState {
    std::string cwd;  // as its bash has it
    std::string policy_id;
    std::string mode;           // "observe" or "enforce"
    std::string undecided;      // the span that lists changes which the shell holds until it ends
    std::uint64_t pending = 0;  // changes that wait for a decision
    bool alive = true;
};

// The client of one live shell: hands lines to the agent, and lets the person at our terminal talk to them.
class ShellLink {
  public:
    // `request` is what all lines have in common. `signals` is a signalfd of SIGINT, SIGWINCH, SIGTERM and
    // SIGHUP; the caller's, as the console. Errc::conflict where changes of the project wait for a decision.
    static Result<ShellLink> open(const Console& console, const ExecRequest& request, int signals);

    const ShellState& state() const { return state_; }
    const std::string& session() const { return session_; }
    const std::string& project() const { return project_; }  // its directory
    const std::vector<std::string>& notices() const { return notices_; }
    // The master of its terminal: readable between two lines when something in the background writes.
    int terminal() const { return terminal_.get(); }

    struct LineEnd {
        int exit = 0;
        int signal = 0;  // what ended the shell itself, if anything has
        std::string span_id;
        std::vector<std::string> notices;
        std::string error;  // why it was not run; empty: it was, or the policy denied it
    };
    // What was typed while lines ran and no program has read.
    std::string take_typed_ahead() { return std::exchange(typed_ahead_, {}); }
    // Runs one line to its end. `status`: what `$?` is for it, when something else was run in between.
    // An error: the agent has gone, or the person has.
    Result<LineEnd> run(const std::string& line, std::optional<int> status);
    // What `word` could become: a "command", a "variable" or a "file", whose directories end in a slash.
    Result<std::vector<std::string>> complete(const std::string& kind, const std::string& word);
    // Ends the shell, all it has started, and its world; says how things are then.
    Result<ShellState> close();

  private:
    class Line;
    ShellLink(supervisor::Client client, int signals) : client_(std::move(client)), signals_(signals) {}
    void take_state(const Json& message);

    supervisor::Client client_;
    int signals_;
    sys::UniqueFd terminal_;
    std::string session_, project_, typed_ahead_;
    std::vector<std::string> notices_;
    ShellState state_;
};

}  // namespace substrate::shell
