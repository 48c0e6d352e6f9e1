#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "process/child_plan.hpp"

namespace substrate::process {

// What a parked child is to execute; the fields are those of ChildPlan.
struct Program {
    std::string path;
    std::vector<std::string> argv;
    std::string fallback_path;  // empty: none
    std::vector<std::string> fallback_argv;
    std::vector<std::string> environment;
    std::string cwd;
    int umask = 022;
    int controlling_terminal = -1;
};

// A child that has left its session, its capabilities and most system calls behind
// already and waits for its program: what costs time happens before anybody waits for
// it. It shares our memory until it executes.
class ParkedChild {
  public:
    // `plan` says how the child is confined; what it executes comes with release(). One with a
    // part in making a world works on another processor than ours until await_confined().
    static Result<ParkedChild> park(const ChildPlan& plan);
    ParkedChild(ParkedChild&&) noexcept;
    ParkedChild& operator=(ParkedChild&&) noexcept;
    // A child that waits, or has not been noted as reaped, is killed and reaped.
    ~ParkedChild();

    pid_t pid() const;
    // For ChildPlan::detach_old_root: pivot_root(2) has happened.
    Result<> root_is_entered();
    // For ChildPlan::join_network, and after root_is_entered(): the descriptor stays ours.
    Result<> network_is_made(int network);
    // For a plan with a part in making a world: waits until that is done and the child
    // is confined. An error is the child's own.
    Result<> await_confined();
    // Sends it on its way to `program` with `stdio` as its descriptors 0, 1, 2 and so on, at most
    // kMaxPlacements, and the ruleset behind them for ChildPlan::landlock. An error: it has
    // not gone, and never will. Does not wait for the execve(2): why that failed says failure().
    // With a `guard`, which must live until the child was reaped, it waits until that is at work.
    Result<> release(const Program& program, std::span<const int> stdio, const ChildGuard* guard = nullptr);
    // The guard's process, a child of ours; -1 for none.
    pid_t guard_pid() const;
    // Somebody has reaped it, as one of all children.
    void note_reaped();
    // Of a child that was released and reaped: why it has not executed its program. nullopt: it has,
    // or a signal came first.
    std::optional<Error> failure();

  private:
    struct State;
    explicit ParkedChild(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace substrate::process
