#include "shell/local_run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "process/spawn.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

constexpr std::int64_t kGraceNs = 2'000'000'000;  // from TERM to KILL

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

// Waits, moving output and passing signals on. The terminal's own go to the command anyway: they
// are only kept from us, as by any shell.
Result<LocalEnd> wait_for_end(const Env& env, const process::Child& child, int signals,
                              std::int64_t timeout_ms, OutputWatch* watch) {
    LocalEnd ended;
    std::int64_t deadline = timeout_ms > 0 ? env.monotonic_ns() + timeout_ms * 1'000'000 : 0;
    std::vector<pollfd> polled;
    for (;;) {
        polled.assign({pollfd{child.pidfd.get(), POLLIN, 0}, pollfd{signals, POLLIN, 0}});
        if (watch != nullptr) watch->add_to(polled);
        const std::int64_t left_ms =
            deadline == 0 ? -1
                          : std::max<std::int64_t>(0, (deadline - env.monotonic_ns() + 999'999) / 1'000'000);
        const int n = ::poll(polled.data(), polled.size(),
                             static_cast<int>(std::min<std::int64_t>(left_ms, 3'600'000)));
        if (n < 0 && errno != EINTR) return fail(Error::last_os("poll"));
        if (n > 0 && polled[0].revents != 0) break;
        if (n > 0 && polled[1].revents != 0) {
            SUB_TRY_ASSIGN(const auto signal, sys::read_signal(signals));
            if (signal && *signal != SIGINT && *signal != SIGQUIT) (void)sys::send_signal(child.pid, *signal);
        }
        if (n > 0 && watch != nullptr) SUB_TRY(watch->move());
        if (deadline != 0 && env.monotonic_ns() >= deadline) {
            // The child is not reaped before this loop ends: the number is its own.
            (void)sys::send_signal(child.pid, ended.timed_out ? SIGKILL : SIGTERM);
            ended.timed_out = true;
            deadline = env.monotonic_ns() + kGraceNs;
        }
    }
    SUB_TRY_ASSIGN(const int status, process::wait_for(child));
    ended.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    ended.exit = ended.signal != 0 ? 128 + ended.signal : WEXITSTATUS(status);
    return ended;
}

}  // namespace

Result<LocalEnd> run_locally(const Env& env, LocalCommand command, OutputWatch* watch) {
    std::vector<char*> argv = pointers(command.argv), environment = pointers(command.environment);
    process::ChildPlan plan;
    plan.program = command.program.c_str();
    plan.argv = argv.data();
    plan.envp = environment.data();
    plan.cwd = command.cwd.c_str();
    const std::array streams = {STDIN_FILENO, watch != nullptr ? watch->stdout_fd() : STDOUT_FILENO,
                                watch != nullptr ? watch->stderr_fd() : STDERR_FILENO};
    for (const int stream : streams) {
        plan.placements[plan.placement_count] = {stream, static_cast<int>(plan.placement_count)};
        ++plan.placement_count;
    }
    SUB_TRY_ASSIGN(const sys::UniqueFd signals,
                   sys::open_signal_fd({SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}));
    SUB_TRY_ASSIGN(const process::Child child, process::spawn(plan));
    // Its end shows only when nobody else can write.
    if (watch != nullptr) watch->close_command_ends();
    return wait_for_end(env, child, signals.get(), command.timeout_ms, watch);
}

Result<> relay_leftovers(const OutputWatch& watch) {
    for (const OutputWatch::Leftover& left : watch.leftovers()) {
        std::string program = "/proc/self/exe", name = "substrate", word = "internal-relay";
        std::array<char*, 3> argv = {name.data(), word.data(), nullptr};
        std::array<char*, 1> envp = {nullptr};
        const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
        process::ChildPlan plan;
        plan.program = program.c_str();
        plan.argv = argv.data();
        plan.envp = envp.data();
        plan.new_session = true;
        for (const int source : {left.source, left.target, null.get()}) {
            plan.placements[plan.placement_count] = {source, static_cast<int>(plan.placement_count)};
            ++plan.placement_count;
        }
        SUB_TRY(process::spawn(plan));
    }
    return {};
}

}  // namespace substrate::shell
