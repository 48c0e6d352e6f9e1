#include "world/init_loop.hpp"

#include <poll.h>
#include <signal.h>

#include <array>
#include <optional>

#include "process/spawn.hpp"
#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"
#include "world/capture_mount.hpp"
#include "world/init_protocol.hpp"
#include "world/packet.hpp"

namespace substrate::world {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

class InitLoop {
  public:
    InitLoop(int control, const plan::WorldPlan& plan, const Staging& staging,
             const std::vector<sock_filter>& seccomp)
        : control_(control), capture_(plan.capture, staging), seccomp_(seccomp) {}

    Result<> run();

  private:
    Result<bool> take_order();
    Result<> exec(ExecOrder order, std::vector<sys::UniqueFd> stdio);
    Result<> start(ExecOrder& order, const std::vector<sys::UniqueFd>& stdio);
    Result<> reap();
    Result<> release_capture();
    Result<> send(const Event& event) { return send_packet(control_, encode(event), {}); }

    int control_;
    CaptureMount capture_;
    const std::vector<sock_filter>& seccomp_;
    pid_t command_ = -1;  // the running command, -1 when there is none
    bool background_ = false;
};

Result<> InitLoop::run() {
    SUB_TRY_ASSIGN(const sys::UniqueFd signals, sys::open_signal_fd({SIGCHLD}));
    SUB_TRY(send(Ready{}));
    for (;;) {
        std::array<pollfd, 2> polled = {pollfd{control_, POLLIN, 0}, pollfd{signals.get(), POLLIN, 0}};
        if (::poll(polled.data(), polled.size(), -1) < 0) {
            if (errno == EINTR) continue;
            return fail(Error::last_os("poll"));
        }
        if (polled[1].revents != 0) {
            SUB_TRY(sys::read_signal(signals.get()));
            SUB_TRY(reap());
        }
        if (polled[0].revents != 0) {
            SUB_TRY_ASSIGN(const bool more, take_order());
            if (!more) return {};
        }
    }
}

Result<bool> InitLoop::take_order() {
    SUB_TRY_ASSIGN(Packet packet, receive_packet(control_));
    if (packet.closed) return false;
    SUB_TRY_ASSIGN(Order order, decode_order(packet.payload));
    if (auto* exec_order = std::get_if<ExecOrder>(&order)) {
        SUB_TRY(exec(std::move(*exec_order), std::move(packet.fds)));
    } else if (const auto* prepare = std::get_if<PrepareOrder>(&order)) {
        // What fails here fails again, and is reported, when it is needed.
        if (command_ < 0) (void)capture_.prepare(prepare->slot);
    } else {
        const auto& signal = std::get<SignalOrder>(order);
        const pid_t target = signal.everything ? -1 : -command_;
        // ESRCH: the command ended in the meantime, which its event says.
        if (signal.everything || command_ > 0) (void)sys::send_signal(target, signal.signal);
    }
    return true;
}

Result<> InitLoop::exec(ExecOrder order, std::vector<sys::UniqueFd> stdio) {
    if (command_ > 0) return send(Failed{"a command is already running", 0});
    if (stdio.size() != 3) return send(Failed{"three standard streams are needed", 0});
    auto started = start(order, stdio);
    if (started) return {};
    const int os_errno = started.error().os_errno();
    const std::string message = started.error().message();
    if (!background_) SUB_TRY(capture_.unmount());
    return send(Failed{message, os_errno});
}

Result<> InitLoop::start(ExecOrder& order, const std::vector<sys::UniqueFd>& stdio) {
    if (!capture_.mounted()) SUB_TRY(capture_.mount(order.slot));
    std::vector<char*> argv = pointers(order.argv);
    std::vector<char*> fallback_argv = pointers(order.fallback_argv);
    std::vector<char*> environment = pointers(order.environment);
    process::ChildPlan plan;
    plan.program = order.program.c_str();
    plan.argv = argv.data();
    plan.envp = environment.data();
    if (!order.fallback_program.empty()) {
        plan.fallback_program = order.fallback_program.c_str();
        plan.fallback_argv = fallback_argv.data();
    }
    // execve(2) would take a bare name for a file in the working directory; to look
    // for it is the shell's work.
    if (!order.program.contains('/') && plan.fallback_program != nullptr) {
        plan.program = plan.fallback_program;
        plan.argv = plan.fallback_argv;
    }
    plan.cwd = order.cwd.c_str();
    for (unsigned i = 0; i < 3; ++i) plan.placements[i] = {stdio[i].get(), static_cast<int>(i)};
    plan.placement_count = 3;
    plan.umask = static_cast<int>(order.umask);
    plan.new_session = true;
    plan.drop_capabilities = true;
    plan.no_new_privs = true;
    if (!seccomp_.empty()) {
        plan.seccomp = seccomp_.data();
        plan.seccomp_length = static_cast<unsigned short>(seccomp_.size());
    }
    SUB_TRY_ASSIGN(const process::Child child, process::spawn(plan));
    command_ = child.pid;
    return {};
}

Result<> InitLoop::reap() {
    std::optional<sys::Reaped> command;
    while (const auto reaped = sys::reap_any())
        if (reaped->pid == command_) command = reaped;
    if (command) {
        command_ = -1;
        background_ = sys::other_processes_exist();
        const Exited exited{command->wait_status, command->cpu_us, command->max_rss_kb, capture_.slot(),
                            background_};
        SUB_TRY(send(exited));
        return background_ ? Result<>{} : release_capture();
    }
    if (command_ < 0 && background_ && !sys::other_processes_exist()) {
        background_ = false;
        SUB_TRY(release_capture());
        return send(Quiet{});
    }
    return {};
}

// After the event, so that the supervisor reads the upper directory meanwhile.
Result<> InitLoop::release_capture() { return capture_.unmount(); }

}  // namespace

Result<> serve_world(int control, const plan::WorldPlan& plan, const Staging& staging,
                     const std::vector<sock_filter>& seccomp) {
    return InitLoop(control, plan, staging, seccomp).run();
}

}  // namespace substrate::world
