#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// Blocks `signals` in this thread (and those it starts later) and returns a
// signalfd(2) from which they can be read.
Result<UniqueFd> open_signal_fd(std::initializer_list<int> signals);
// The next signal's number; nullopt when none is pending.
Result<std::optional<int>> read_signal(int signal_fd);

// SIG_IGN for each.
Result<> ignore_signals(std::initializer_list<int> signals);

struct Reaped {
    pid_t pid = 0;
    int wait_status = 0;      // as of wait(2)
    std::int64_t cpu_us = 0;  // user and system, with its reaped children
    std::int64_t max_rss_kb = 0;
};
// wait4(2) with WNOHANG: one dead child, or nullopt when none has died.
std::optional<Reaped> reap_any();

// True when any process but ourselves exists in this pid namespace. For PID 1.
bool other_processes_exist();
// The same, but for those in `but` and their children: by /proc, which must show all.
bool other_processes_exist(std::span<const pid_t> but);
// Kills our child and reaps it.
void end_child(pid_t pid);
Result<> send_signal(pid_t pid_or_negative_group, int signal);
// The process cannot be traced or read through /proc by others of the same user.
Result<> forbid_tracing();

}  // namespace substrate::sys
