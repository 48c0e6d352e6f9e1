#include "process/spawn.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "process/child_main.hpp"
#include "sys/file.hpp"

namespace substrate::process {
namespace {

struct Pipe {
    sys::UniqueFd read;
    sys::UniqueFd write;
};

Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail(Error::last_os("pipe2"));
    return Pipe{sys::UniqueFd(fds[0]), sys::UniqueFd(fds[1])};
}

void reap(const sys::UniqueFd& pidfd) {
    siginfo_t info{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | __WALL) != 0 &&
           errno == EINTR) {
    }
}

// Runs on the stack that clone(2) was given.
int child_entry(void* plan) { child_main(*static_cast<const ChildPlan*>(plan)); }

// The child shares our memory until it executes: no page tables are copied,
// however large we are. It runs on a stack of its own, which nobody touches
// before the report pipe has closed.
Result<Child> clone_child(const ChildPlan& plan, int flags) {
    constexpr std::size_t kStackSize = 64 * 1024;
    thread_local const auto stack = std::make_unique_for_overwrite<std::byte[]>(kStackSize);
    int pidfd = -1;
    const int pid = ::clone(child_entry, stack.get() + kStackSize, CLONE_VM | CLONE_PIDFD | SIGCHLD | flags,
                            const_cast<ChildPlan*>(&plan), &pidfd);
    if (pid < 0) return fail(Error::last_os("clone"));
    return Child{sys::UniqueFd(pidfd), pid};
}

Error describe(const ChildReport& report) {
    std::string what = std::string("step ") + to_string(report.step);
    if (report.detail[0] != '\0') what += " '" + std::string(report.detail) + "'";
    if (report.index != 0) what += " #" + std::to_string(report.index);
    return Error::from_os(report.os_errno, std::move(what));
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
    }
    return "unknown";
}

Result<Child> spawn(ChildPlan plan, const SpawnOptions& options) {
    SUB_TRY_ASSIGN(Pipe report, make_pipe());
    plan.report_fd = report.write.get();
    Pipe ready;
    if (options.write_id_maps) {
        SUB_TRY_ASSIGN(ready, make_pipe());
        plan.id_maps_ready_fd = ready.read.get();
    }
    // The child shares our memory: none of our signal handlers may run in it.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    // A child that waits for its id maps needs us awake.
    auto cloned = clone_child(plan, options.namespaces | (options.write_id_maps ? 0 : CLONE_VFORK));
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (!cloned) return cloned;
    Child child = *std::move(cloned);
    report.write.reset();

    if (options.write_id_maps) {
        ready.read.reset();
        auto mapped = options.write_id_maps(child.pid);
        if (mapped) mapped = sys::write_all(ready.write.get(), "x");
        ready.write.reset();  // on failure the child reads the end and gives up
        if (!mapped) {
            reap(child.pidfd);
            return fail(std::move(mapped).error());
        }
    }
    ChildReport failure;
    SUB_TRY_ASSIGN(const std::size_t n,
                   sys::read_some(report.read.get(), {reinterpret_cast<char*>(&failure), sizeof failure}));
    if (n == 0) return child;  // exec closed the pipe: the child is running
    reap(child.pidfd);
    if (n != sizeof failure || failure.magic != ChildReport::kMagic)
        return fail({Errc::internal, "a child's report is not one"});
    return fail(describe(failure));
}

Result<int> wait_for(const Child& child) {
    siginfo_t info{};
    int result = -1;
    do result = ::waitid(P_PIDFD, static_cast<id_t>(child.pidfd.get()), &info, WEXITED | __WALL);
    while (result != 0 && errno == EINTR);
    if (result != 0) return fail(Error::last_os("waitid"));
    return info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0) : W_EXITCODE(0, info.si_status);
}

}  // namespace substrate::process
