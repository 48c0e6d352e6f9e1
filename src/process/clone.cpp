#include "process/clone.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "process/child_main.hpp"

namespace substrate::process {
namespace {

// Runs on the stack that clone(2) was given.
int child_entry(void* plan) { child_main(*static_cast<const ChildPlan*>(plan)); }

// clone3(2), which no library wraps; -errno when it fails. The child calls child_entry(plan)
// on the stack that `arguments` name.
// SAFETY: the child comes back from the kernel with our registers and its own, empty stack,
// in memory that is also ours: so it must not return to compiled code, and everything up
// to the call is registers only. The chain of frames ends there, for unwinders.
long call_clone3(const clone_args& arguments, const ChildPlan& plan) {
#if defined(__x86_64__)
    long result = SYS_clone3;
    register const ChildPlan* argument __asm__("r8") = &plan;
    register int (*entry)(void*) __asm__("r9") = child_entry;
    __asm__ volatile(
        "syscall\n\t"
        "testq %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xorl %%ebp, %%ebp\n\t"
        "movq %%r8, %%rdi\n\t"
        "callq *%%r9\n\t"
        "hlt\n"
        "1:"
        : "+a"(result)
        : "D"(&arguments), "S"(sizeof arguments), "r"(argument), "r"(entry)
        : "rcx", "r11", "cc", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = reinterpret_cast<long>(&arguments);
    register long x1 __asm__("x1") = sizeof arguments;
    register const ChildPlan* x2 __asm__("x2") = &plan;
    register int (*x3)(void*) __asm__("x3") = child_entry;
    __asm__ volatile(
        "svc 0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x29, xzr\n\t"
        "mov x30, xzr\n\t"
        "mov x0, x2\n\t"
        "blr x3\n\t"
        "brk 1\n"
        "1:"
        : "+r"(x0)
        : "r"(x8), "r"(x1), "r"(x2), "r"(x3)
        : "cc", "memory");
    return x0;
#else
#error "clone knows x86_64 and aarch64"
#endif
}

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
        case ChildStep::join_network: return "join the network namespace";
        case ChildStep::detach_old_root: return "detach the old root";
        case ChildStep::process_limit: return "limit the number of processes";
        case ChildStep::file_limit: return "limit the number of open files";
        case ChildStep::landlock: return "Landlock";
        case ChildStep::guard: return "path guard";
        case ChildStep::controlling_terminal: return "controlling terminal";
    }
    return "unknown";
}

Result<Child> clone_child(const ChildPlan& plan, ChildStack& stack, int flags, int cgroup_fd) {
    flags |= CLONE_VM | CLONE_PIDFD;
    int pidfd = -1;
    clone_args arguments{};
    arguments.flags = static_cast<unsigned>(flags) | CLONE_INTO_CGROUP;
    arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
    arguments.exit_signal = SIGCHLD;
    arguments.stack = reinterpret_cast<std::uintptr_t>(stack.bottom());
    arguments.stack_size = ChildStack::kSize;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup_fd);
    // The child shares our memory: none of our signal handlers may run in it.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    long pid = -1;
    int clone_errno = 0;
    if (cgroup_fd >= 0) {
        pid = call_clone3(arguments, plan);
        clone_errno = static_cast<int>(-pid);
    } else {
        pid = ::clone(child_entry, stack.top(), flags | SIGCHLD, const_cast<ChildPlan*>(&plan), &pidfd);
        clone_errno = errno;
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return fail(Error::from_os(clone_errno, cgroup_fd >= 0 ? "clone3 into the cgroup" : "clone"));
    return Child{sys::UniqueFd(pidfd), static_cast<pid_t>(pid)};
}

Error describe(const ChildReport& report) {
    std::string what = std::string("step ") + to_string(report.step);
    if (report.detail[0] != '\0') what += " '" + std::string(report.detail) + "'";
    if (report.index != 0) what += " #" + std::to_string(report.index);
    return Error::from_os(report.os_errno, std::move(what));
}

}  // namespace substrate::process
