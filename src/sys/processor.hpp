#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <optional>

namespace substrate::sys {

// Keeps a process of ours off the processor we run on, as long as this lives: the
// scheduler leaves a new process behind its parent, also beside an idle processor, where the
// two were to work at once. Best effort: where there is one processor, or the kernel
// refuses, nothing changes.
class ProcessorApart {
  public:
    explicit ProcessorApart(pid_t pid);
    // Gives the process the processors that we may use: sched_setaffinity(2). Here and by
    // syscall(2), so that it is on no other page than its callers: each counts in an idle world.
    ~ProcessorApart() {
        // ESRCH: it has ended, which its parent learns otherwise.
        if (ours_) (void)::syscall(SYS_sched_setaffinity, pid_, sizeof *ours_, &*ours_);
    }
    ProcessorApart(const ProcessorApart&) = delete;
    ProcessorApart& operator=(const ProcessorApart&) = delete;

  private:
    pid_t pid_;
    std::optional<cpu_set_t> ours_;
};

}  // namespace substrate::sys
