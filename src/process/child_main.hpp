#pragma once

#include "process/child_plan.hpp"

namespace substrate::process {

// Runs in the child between clone and execve; never returns. The child may
// share the parent's memory. Must: use system calls only. Must not: allocate,
// lock, throw, log or call into another translation unit (a test reads the
// object's symbols).
[[noreturn]] void child_main(const ChildPlan& plan) noexcept;

}  // namespace substrate::process
