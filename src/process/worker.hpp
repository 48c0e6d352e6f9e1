#pragma once

#include <sys/types.h>

#include <functional>

#include "base/result.hpp"

namespace substrate::process {

// Forks a process that does `work` and ends, killed at the latest when ours ends. For a process of
// one thread. Who ignores SIGCHLD need not reap it.
Result<pid_t> fork_worker(const std::function<void()>& work);

}  // namespace substrate::process
