#include "world/init_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "process/parked.hpp"
#include "sys/file.hpp"
#include "sys/namespace.hpp"
#include "sys/process.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"
#include "sys/terminal.hpp"
#include "world/capture_mount.hpp"
#include "world/command_rules.hpp"
#include "world/init_protocol.hpp"
#include "world/packet.hpp"
#include "world/path_guard.hpp"
#include "world/uplink.hpp"

namespace substrate::world {
namespace {

constexpr int kIdleMs = 500;  // until the program's pages are given back

process::ChildPlan confinement(const plan::WorldPlan& world, const std::vector<sock_filter>& seccomp) {
    process::ChildPlan plan;
    plan.landlock = world.landlock.abi > 0;
    plan.landlock_flags = restrict_flags(world.landlock, world.seccomp);
    plan.new_session = true;
    plan.drop_capabilities = true;
    plan.no_new_privs = true;
    // Of the command, and not of this process: it must be able to start the next one.
    if (world.limits.pids_by_user) plan.process_limit = world.limits.pids;
    if (!seccomp.empty()) {
        plan.seccomp = seccomp.data();
        plan.seccomp_length = static_cast<unsigned short>(seccomp.size());
    }
    return plan;
}

int controlling_stream(const std::optional<TerminalOrder>& terminal) {
    if (!terminal) return -1;
    return terminal->streams == 0 ? STDOUT_FILENO : std::countr_zero(terminal->streams);
}

// Whoever has a directory of the host has all of them, by "..".
Result<> check_streams(const std::vector<sys::UniqueFd>& stdio, unsigned replaced = 0) {
    constexpr std::array kNames = {"standard input", "standard output", "standard error"};
    if (stdio.size() != kNames.size()) return fail({Errc::invalid, "three standard streams are needed"});
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        if ((replaced >> i & 1) != 0) continue;
        SUB_TRY_ASSIGN(const auto st, sys::stat_fd(stdio[i].get()));
        SUB_TRY_ASSIGN(const int flags, sys::open_flags(stdio[i].get()));
        if (S_ISDIR(st.stx_mode) || (flags & O_PATH) != 0)
            return fail(
                {Errc::safety, std::string(kNames[i]) +
                                   " is a directory or no open file, which would lead out of the world"});
    }
    return {};
}

// Nothing but a memory file that nobody can change any more, and only in its place.
Result<> check_token(const sys::UniqueFd& token, const ExecOrder& order,
                     const std::vector<sys::UniqueFd>& stdio) {
    constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    const int seals = token ? ::fcntl(token.get(), F_GET_SEALS) : -1;
    if (seals < 0 || (seals & kSeals) != kSeals ||
        (order.terminal && order.terminal->streams == 0 && stdio.size() > 1))
        return fail({Errc::safety, "the command's scope token is no sealed memory file"});
    return {};
}

class InitLoop {
  public:
    InitLoop(int control, const plan::WorldPlan& plan, const Staging& staging,
             const std::vector<sock_filter>& seccomp, std::optional<PathGuard> guard,
             process::ParkedChild first, OwnNetwork network)
        : control_(control),
          plan_(plan),
          capture_(plan.capture, staging),
          rules_(plan.landlock, plan.capture),
          seccomp_(seccomp),
          guard_(std::move(guard)),
          network_(std::move(network)),
          child_(std::move(first)) {
        if (guard_) child_guard_ = guard_->child_guard();
    }

    Result<> run(sys::UniqueFd door);

  private:
    Result<bool> take_order();
    Result<> exec(ExecOrder order, std::vector<sys::UniqueFd> stdio);
    Result<> open_terminal(const TerminalOrder& wanted, std::vector<sys::UniqueFd>& stdio);
    Result<> start(ExecOrder order, const std::vector<sys::UniqueFd>& stdio, int token);
    void prepare(const PrepareOrder& order);
    Result<> park();
    Result<> complete_world();
    Result<> open_uplink();
    Result<> await_link();
    Result<> reap();
    Result<> finish(const sys::Reaped& command);
    std::vector<std::string> full_places() const;
    Result<> release_capture();
    bool needs_guard() const;
    bool others_exist() const;
    void end_guards();
    Result<> send(const Event& event) { return send_packet(control_, encode(event), {}); }

    int control_;
    const plan::WorldPlan& plan_;
    CaptureMount capture_;
    CommandRules rules_;
    const std::vector<sock_filter>& seccomp_;
    std::optional<PathGuard> guard_;  // none: the plan denies nothing by name
    OwnNetwork network_;              // until the first command: then it is ours, and its sockets are gone
    process::ChildGuard child_guard_;
    std::vector<pid_t> guards_;  // processes: of the command, and of those of background processes
    pid_t command_ = -1;         // the running command, -1 when there is none
    // The running command, or the process of the next one. Only while no background
    // processes live on: they would see it, and it would be counted as one of them.
    std::optional<process::ParkedChild> child_;
    bool background_ = false;
    bool slim_ = false;      // nothing has happened since the program's pages were given back
    bool complete_ = false;  // the first command's process has done its part
};

Result<> InitLoop::run(sys::UniqueFd door) {
    SUB_TRY_ASSIGN(const sys::UniqueFd signals, sys::open_signal_fd({SIGCHLD}));
    const int passed[] = {door.get()};
    SUB_TRY(send_packet(control_, encode(Event(Ready{})), std::span(passed, door ? 1 : 0)));
    door.reset();
    for (;;) {
        std::array<pollfd, 2> polled = {pollfd{control_, POLLIN, 0}, pollfd{signals.get(), POLLIN, 0}};
        const int ready = ::poll(polled.data(), polled.size(), slim_ ? -1 : kIdleMs);
        if (ready < 0) {
            if (errno == EINTR) continue;
            return fail(Error::last_os("poll"));
        }
        slim_ = ready == 0;
        if (slim_) sys::drop_program_pages();
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
    if (packet.closed) {
        if (command_ < 0 && !background_) SUB_TRY(capture_.unmount());
        return false;
    }
    SUB_TRY_ASSIGN(Order order, decode_order(packet.payload));
    if (auto* exec_order = std::get_if<ExecOrder>(&order)) {
        SUB_TRY(exec(std::move(*exec_order), std::move(packet.fds)));
    } else if (const auto* coming = std::get_if<PrepareOrder>(&order)) {
        if (command_ < 0 && !background_) prepare(*coming);
    } else if (!std::holds_alternative<SignalOrder>(order)) {
        return fail({Errc::internal, "an order out of turn"});
    } else {
        const auto& signal = std::get<SignalOrder>(order);
        if (signal.everything) {
            (void)sys::send_signal(-1, signal.signal);
        } else if (command_ > 0 && !sys::send_signal(-command_, signal.signal)) {
            // It has not become its group's leader yet. Or it ended in the meantime, which its
            // event says.
            (void)sys::send_signal(command_, signal.signal);
        }
    }
    return true;
}

// Of the world's own devpts, so that it has a name inside and none outside.
Result<> InitLoop::open_terminal(const TerminalOrder& wanted, std::vector<sys::UniqueFd>& stdio) {
    if (wanted.streams != 0) SUB_TRY(check_streams(stdio, wanted.streams));
    else if (stdio.size() > 1) return fail({Errc::invalid, "one descriptor at most goes with a terminal"});
    SUB_TRY_ASSIGN(sys::Terminal terminal,
                   sys::open_terminal("/dev/pts/ptmx", {wanted.columns, wanted.rows}));
    if (wanted.streams == 0) stdio.push_back(std::move(terminal.slave));
    for (std::size_t i = 0; wanted.streams != 0 && i < stdio.size(); ++i) {
        if ((wanted.streams >> i & 1) == 0) continue;
        stdio[i].reset(::fcntl(terminal.slave.get(), F_DUPFD_CLOEXEC, 3));
        if (!stdio[i]) return fail(Error::last_os("fcntl F_DUPFD_CLOEXEC"));
    }
    return send_packet(control_, encode(Event(TerminalOpened{})), std::array{terminal.master.get()});
}

Result<> InitLoop::exec(ExecOrder order, std::vector<sys::UniqueFd> stdio) {
    if (command_ > 0) return send(Failed{"a command is already running", 0});
    sys::UniqueFd token;
    if (order.scope_token && !stdio.empty()) {
        token = std::move(stdio.back());
        stdio.pop_back();
    }
    auto usable = order.terminal ? open_terminal(*order.terminal, stdio) : check_streams(stdio);
    if (usable && order.scope_token) usable = check_token(token, order, stdio);
    if (!usable) return send(Failed{usable.error().message(), usable.error().os_errno()});
    auto started = start(std::move(order), stdio, token.get());
    if (started) return {};
    const int os_errno = started.error().os_errno();
    const std::string message = started.error().message();
    child_.reset();
    if (!background_) SUB_TRY(capture_.unmount());
    SUB_TRY(send(Failed{message, os_errno}));
    // Half a world takes no second order.
    return complete_ ? Result<>{} : fail({Errc::unavailable, message});
}

Result<> InitLoop::start(ExecOrder order, const std::vector<sys::UniqueFd>& stdio, int token) {
    if (!background_) SUB_TRY(capture_.mount(order.slot));
    if (!complete_) SUB_TRY(complete_world());
    // execve(2) would take a bare name for a file in the working directory; to look
    // for it is the shell's work.
    if (!order.program.contains('/') && !order.fallback_program.empty()) {
        order.program = order.fallback_program;
        order.argv = order.fallback_argv;
    }
    process::Program program{.path = std::move(order.program),
                             .argv = std::move(order.argv),
                             .fallback_path = std::move(order.fallback_program),
                             .fallback_argv = std::move(order.fallback_argv),
                             .environment = std::move(order.environment),
                             .cwd = std::move(order.cwd),
                             .umask = static_cast<int>(order.umask),
                             .controlling_terminal = controlling_stream(order.terminal)};
    std::vector<int> fds;
    for (const sys::UniqueFd& stream : stdio) fds.push_back(stream.get());
    if (order.terminal && order.terminal->streams == 0) fds.insert(fds.end(), 2, stdio.back().get());
    if (token >= 0) fds.push_back(token);
    std::optional<sys::LandlockRuleset> rules;
    if (rules_.in_use()) {
        auto made = rules_.take(capture_, stdio);
        if (!made) return fail(std::move(made).error().during("making the Landlock rules"));
        rules = std::move(*made);
        fds.push_back(rules->fd());
    }
    // A process of the world may have killed the one that waited.
    for (bool fresh = !child_;; fresh = true) {
        if (fresh) SUB_TRY(park());
        auto released = child_->release(program, fds, needs_guard() ? &child_guard_ : nullptr);
        if (!released && !fresh) continue;
        SUB_TRY(std::move(released));
        if (child_->guard_pid() > 0) guards_.push_back(child_->guard_pid());
        command_ = child_->pid();
        return {};
    }
}

// By its patterns, or because somebody could make a path that is denied and cannot be masked.
bool InitLoop::needs_guard() const {
    if (!guard_) return false;
    const plan::GuardPlan& guard = plan_.guard;
    if (!guard.patterns.empty() || !guard.write_rules.empty() || !guard.read_rules.empty()) return true;
    const std::size_t prefix = plan_.capture.project.str().size() + 1;
    return std::ranges::any_of(plan_.guard.paths, [&](const WorldPath& path) {
        return !sys::open_in_root(capture_.fd(), path.str().substr(prefix), O_PATH);
    });
}

// Guards do not count: each ends by itself once nobody is left whom it answers.
bool InitLoop::others_exist() const {
    return guards_.empty() ? sys::other_processes_exist() : sys::other_processes_exist(guards_);
}

// Before a capture is looked at, nobody may be about to finish a dead process's call.
void InitLoop::end_guards() {
    for (const pid_t guard : guards_) sys::end_child(guard);
    guards_.clear();
}

// Before the first command: what its process has made is the whole world's.
Result<> InitLoop::complete_world() {
    if (!child_) return fail({Errc::unavailable, "the first process of the world has ended"});
    SUB_TRY(child_->await_confined());
    if (network_.ns)
        SUB_TRY_DURING(sys::join_namespace(network_.ns.get(), CLONE_NEWNET), "joining the world's network");
    if (!plan_.uplink.table.empty()) SUB_TRY(open_uplink());
    if (network_.maker > 0) sys::end_child(network_.maker);
    network_ = {};
    complete_ = true;
    return {};
}

// Only the supervisor keeps the sockets: when who serves them is gone, nothing listens.
Result<> InitLoop::open_uplink() {
    std::vector<int> fds;
    for (const sys::UniqueFd& fd : network_.uplink) fds.push_back(fd.get());
    if (!plan_.network_name.empty() || plan_.network == plan::NetworkMode::veth)
        fds.push_back(network_.ns.get());
    SUB_TRY(send_packet(control_, encode(Event(Uplink{})), fds));
    return plan_.network == plan::NetworkMode::veth ? await_link() : Result<>();
}

// The command does not begin before there is a way for it.
Result<> InitLoop::await_link() {
    SUB_TRY_ASSIGN(const Packet packet, receive_packet(control_));
    if (packet.closed) return fail({Errc::unavailable, "the agent has gone"});
    SUB_TRY_ASSIGN(const Order order, decode_order(packet.payload));
    // Somebody does not want the command any more.
    if (std::holds_alternative<SignalOrder>(order)) return fail({Errc::unavailable, "ended before it began"});
    const auto* link = std::get_if<LinkOrder>(&order);
    if (link == nullptr) return fail({Errc::internal, "an order out of turn"});
    if (!link->problem.empty()) return fail({Errc::unavailable, link->problem});
    return raise_link(*link, plan_.uplink.ipv6);
}

// What fails here fails again, and is reported, when it is needed.
void InitLoop::prepare(const PrepareOrder& order) {
    (void)capture_.prepare(order.slot);
    (void)rules_.prepare();
    if (!child_) (void)park();
}

Result<> InitLoop::park() {
    child_.reset();
    SUB_TRY_ASSIGN(child_, process::ParkedChild::park(confinement(plan_, seccomp_)));
    return {};
}

Result<> InitLoop::reap() {
    std::optional<sys::Reaped> command;
    while (const auto reaped = sys::reap_any()) {
        if (reaped->pid == command_) command = reaped;
        std::erase(guards_, reaped->pid);
        if (reaped->pid == network_.maker) network_.maker = -1;
        if (!child_ || reaped->pid != child_->pid()) continue;
        child_->note_reaped();
        if (reaped->pid != command_) child_.reset();
    }
    if (command) return finish(*command);
    if (command_ < 0 && background_ && !others_exist()) {
        background_ = false;
        end_guards();
        SUB_TRY(release_capture());
        return send(Quiet{});
    }
    return {};
}

Result<> InitLoop::finish(const sys::Reaped& command) {
    const std::optional<Error> failure = child_->failure();
    child_.reset();
    command_ = -1;
    background_ = others_exist();
    if (!background_) end_guards();
    if (failure) {
        if (!background_) SUB_TRY(release_capture());
        return send(Failed{failure->message(), failure->os_errno()});
    }
    SUB_TRY(send(Exited{command.wait_status, command.cpu_us, command.max_rss_kb, capture_.slot(), background_,
                        command.wait_status == 0 ? std::vector<std::string>() : full_places()}));
    return background_ ? Result<>{} : release_capture();
}

// A program seldom says which file system had no room, and these are no one's but the world's.
std::vector<std::string> InitLoop::full_places() const {
    std::vector<std::string> full;
    for (const plan::MountOp& op : plan_.mounts) {
        const auto* tmpfs = std::get_if<plan::Tmpfs>(&op.action);
        if (tmpfs == nullptr || tmpfs->read_only) continue;
        const auto place = sys::open_path(op.target.c_str(), O_PATH);
        const auto space = place ? sys::disk_space(place->get()) : fail(place.error());
        if (space && (space->bytes_left == 0 || (space->files_total != 0 && space->files_left == 0)))
            full.push_back(op.target.str());
    }
    return full;
}

// After the event, so that the supervisor reads the upper directory meanwhile.
Result<> InitLoop::release_capture() { return capture_.rest(); }

}  // namespace

Result<process::ParkedChild> park_first(const plan::WorldPlan& plan,
                                        const std::vector<sock_filter>& seccomp) {
    process::ChildPlan child = confinement(plan, seccomp);
    child.detach_old_root = true;
    child.join_network = plan.network != plan::NetworkMode::host;
    return process::ParkedChild::park(child);
}

Result<> serve_world(int control, const plan::WorldPlan& plan, Staging staging,
                     const std::vector<sock_filter>& seccomp, process::ParkedChild first,
                     OwnNetwork network) {
    std::optional<PathGuard> guard;
    if (plan.guard != plan::GuardPlan{}) {
        SUB_TRY_ASSIGN(guard, PathGuard::make(plan));
    }
    return InitLoop(control, plan, staging, seccomp, std::move(guard), std::move(first), std::move(network))
        .run(std::move(staging.door));
}

}  // namespace substrate::world
