#include "process/clone.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/child_main.hpp"

namespace substrate::process {
namespace {

// Runs on the stack that clone(2) was given.
int child_entry(void* plan) { child_main(*static_cast<const ChildPlan*>(plan)); }

}  // namespace

const char* to_string(ChildStep step) {
    switch (step) {
        case ChildStep::none: return "none";
        case ChildStep::wait_for_id_maps: return "wait for id maps";
        case ChildStep::death_signal: return "death signal";
        case ChildStep::new_session: return "new session";
        case ChildStep::place_descriptors: return "place descriptors";
        case ChildStep::close_descriptors: return "close descriptors";
        case ChildStep::ambient_capabilities: return "ambient capabilities";
        case ChildStep::change_directory: return "change directory";
        case ChildStep::bounding_set: return "bounding set";
        case ChildStep::drop_capabilities: return "drop capabilities";
        case ChildStep::no_new_privs: return "no_new_privs";
        case ChildStep::seccomp: return "seccomp";
        case ChildStep::exec: return "exec";
        case ChildStep::wait_for_release: return "wait for release";
        case ChildStep::new_network: return "new network namespace";
        case ChildStep::detach_old_root: return "detach the old root";
        case ChildStep::join_cgroup: return "join the cgroup";
    }
    return "unknown";
}

Result<Child> clone_child(const ChildPlan& plan, ChildStack& stack, int flags) {
    // The child shares our memory: none of our signal handlers may run in it.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    const int pid = ::clone(child_entry, stack.top(), CLONE_VM | CLONE_PIDFD | SIGCHLD | flags,
                            const_cast<ChildPlan*>(&plan), &pidfd);
    const int clone_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) return fail(Error::from_os(clone_errno, "clone"));
    return Child{sys::UniqueFd(pidfd), pid};
}

Result<Child> clone_child_into_cgroup(const ChildPlan& plan, int flags, int cgroup_fd) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    clone_args arguments{};
    arguments.flags = static_cast<std::uint64_t>(flags) | CLONE_PIDFD | CLONE_INTO_CGROUP;
    arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup_fd);
    // SAFETY: without CLONE_VM the child returns from this call on its own copy of our stack,
    // as from fork(2), and child_main uses nothing but system calls. With CLONE_VM it would
    // return into frames that we are using.
    const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) child_main(plan);
    const int clone_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) return fail(Error::from_os(clone_errno, "clone3 into the cgroup"));
    return Child{sys::UniqueFd(pidfd), static_cast<pid_t>(pid)};
}

Error describe(const ChildReport& report) {
    std::string what = std::string("step ") + to_string(report.step);
    if (report.detail[0] != '\0') what += " '" + std::string(report.detail) + "'";
    if (report.index != 0) what += " #" + std::to_string(report.index);
    return Error::from_os(report.os_errno, std::move(what));
}

}  // namespace substrate::process
