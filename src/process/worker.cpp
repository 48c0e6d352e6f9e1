#include "process/worker.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace substrate::process {

Result<pid_t> fork_worker(const std::function<void()>& work) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return fail(Error::last_os("fork"));
    if (pid > 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    // The parent may have ended before it could be asked for.
    if (::getppid() == parent) work();
    ::_exit(0);
}

}  // namespace substrate::process
