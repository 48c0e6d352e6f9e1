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

struct StartingChild::State {
    ChildPlan plan;
    ChildStack stack;
    sys::UniqueFd report;
    Child child;
    bool running = false;  // on its way

    void end() {
        if (!running) return;
        running = false;
        // It may wait for us on a socket whose other end it holds as well.
        (void)sys::send_signal(child.pid, SIGKILL);
        reap(child.pidfd);
    }
    ~State() { end(); }
};

StartingChild::StartingChild(std::unique_ptr<State> state) : state_(std::move(state)) {}
StartingChild::StartingChild(StartingChild&&) noexcept = default;
StartingChild& StartingChild::operator=(StartingChild&&) noexcept = default;
StartingChild::~StartingChild() = default;

Result<StartingChild> StartingChild::begin(const ChildPlan& asked, const SpawnOptions& options) {
    SUB_TRY_ASSIGN(Pipe report, make_pipe());
    auto state = std::make_unique<State>();
    ChildPlan& plan = state->plan;
    plan = asked;
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
    // A child that waits for its id maps needs us awake.
    const int flags =
        options.namespaces | (options.write_id_maps ? 0 : CLONE_VFORK) | (low ? CLONE_FILES : 0);
    SUB_TRY_ASSIGN(state->child, clone_child(plan, state->stack, flags, options.cgroup_fd));
    state->running = true;
    report.write.reset();
    state->report = std::move(report.read);

    if (options.write_id_maps) {
        ready.theirs.reset();
        if (low) SUB_TRY(await_own_table(ready.ours.get(), state->child.pidfd));
        low.reset();
        SUB_TRY(options.write_id_maps(state->child.pid));
        SUB_TRY(sys::send_message(ready.ours.get(), "x"));
    }
    return StartingChild(std::move(state));
}

Result<Child> StartingChild::finish() {
    ChildReport failure;
    SUB_TRY_ASSIGN(const std::size_t n,
                   sys::read_some(state_->report.get(), {reinterpret_cast<char*>(&failure), sizeof failure}));
    state_->running = false;
    if (n == 0) return std::move(state_->child);  // exec closed the pipe: the child is running
    reap(state_->child.pidfd);
    if (n != sizeof failure || failure.magic != ChildReport::kMagic)
        return fail({Errc::internal, "a child's report is not one"});
    return fail(describe(failure));
}

Result<Child> spawn(const ChildPlan& plan, const SpawnOptions& options) {
    SUB_TRY_ASSIGN(StartingChild starting, StartingChild::begin(plan, options));
    return starting.finish();
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
