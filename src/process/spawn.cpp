#include "process/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "process/clone.hpp"
#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"

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

// Above this number, copying and closing descriptors costs more than moving a few down.
constexpr int kManyDescriptors = 256;

// Until the child has a table of its own, or has ended: then there is a report.
Result<> await_own_table(int socket, const sys::UniqueFd& pidfd) {
    std::array<pollfd, 2> polled = {pollfd{socket, POLLIN, 0}, pollfd{pidfd.get(), POLLIN, 0}};
    int n = -1;
    do n = ::poll(polled.data(), polled.size(), -1);
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Error::last_os("poll"));
    if (polled[0].revents == 0) return {};
    char byte = 0;
    SUB_TRY(sys::read_some(socket, {&byte, 1}));
    return {};
}

void reap(const sys::UniqueFd& pidfd) {
    siginfo_t info{};
    while (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | __WALL) != 0 &&
           errno == EINTR) {
    }
}

}  // namespace

Result<Child> spawn(ChildPlan plan, const SpawnOptions& options) {
    SUB_TRY_ASSIGN(Pipe report, make_pipe());
    plan.report_fd = report.write.get();
    sys::SocketPair ready;
    if (options.write_id_maps) {
        SUB_TRY_ASSIGN(ready, sys::make_seqpacket_pair());
        plan.id_maps_ready_fd = ready.theirs.get();
    }
    std::optional<LowDescriptors::Lease> low;
    if (options.low != nullptr && plan.report_fd >= kManyDescriptors) {
        SUB_TRY_ASSIGN(low, options.low->lend(plan));
    }
    // Nobody touches it before the report pipe has closed.
    thread_local ChildStack stack;
    // A child that waits for its id maps needs us awake.
    const int flags =
        options.namespaces | (options.write_id_maps ? 0 : CLONE_VFORK) | (low ? CLONE_FILES : 0);
    auto cloned = clone_child(plan, stack, flags, options.cgroup_fd);
    if (!cloned) return cloned;
    Child child = *std::move(cloned);
    report.write.reset();

    if (options.write_id_maps) {
        ready.theirs.reset();
        Result<> mapped;
        if (low) mapped = await_own_table(ready.ours.get(), child.pidfd);
        low.reset();
        if (mapped) mapped = options.write_id_maps(child.pid);
        if (mapped) mapped = sys::send_message(ready.ours.get(), "x");
        ready.ours.reset();
        if (!mapped) {
            // It waits for us on a socket whose other end it may hold as well.
            (void)sys::send_signal(child.pid, SIGKILL);
            reap(child.pidfd);
            return fail(std::move(mapped).error());
        }
    }
    low.reset();
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
