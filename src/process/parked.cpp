#include "process/parked.hpp"

#include <signal.h>

#include <array>
#include <cstring>

#include "process/clone.hpp"
#include "sys/processor.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"

namespace substrate::process {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> result;
    result.reserve(strings.size() + 1);
    for (std::string& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

Error report_in(const std::array<char, sizeof(ChildReport)>& bytes, std::size_t size) {
    ChildReport report;
    std::memcpy(&report, bytes.data(), sizeof report);
    if (size != sizeof report || report.magic != ChildReport::kMagic)
        return {Errc::internal, "a child's report is not one"};
    return describe(report);
}

}  // namespace

// SAFETY: the child reads all of this until it has executed its program or is gone, so
// it stays where it is until the child was reaped.
struct ParkedChild::State {
    ChildPlan plan;
    ChildStack stack;
    Program program;
    std::vector<char*> argv, fallback_argv, environment;
    sys::UniqueFd socket;
    Child child;
    std::optional<sys::ProcessorApart> apart;
    bool reaped = false;
    pid_t guard_pid = -1;

    ~State() {
        apart.reset();
        if (reaped || child.pid < 0) return;
        (void)sys::send_signal(child.pid, SIGKILL);
        (void)wait_for(child);
    }
};

ParkedChild::ParkedChild(std::unique_ptr<State> state) : state_(std::move(state)) {}
ParkedChild::ParkedChild(ParkedChild&&) noexcept = default;
ParkedChild& ParkedChild::operator=(ParkedChild&&) noexcept = default;
ParkedChild::~ParkedChild() = default;

Result<ParkedChild> ParkedChild::park(const ChildPlan& plan) {
    SUB_TRY_ASSIGN(sys::SocketPair pair, sys::make_seqpacket_pair());
    auto state = std::make_unique<State>();
    state->plan = plan;
    state->plan.release_fd = pair.theirs.get();
    state->plan.report_fd = pair.theirs.get();
    int target = 0;
    for (FdPlacement& placement : state->plan.placements) placement.target = target++;
    state->socket = std::move(pair.ours);
    SUB_TRY_ASSIGN(state->child, clone_child(state->plan, state->stack, 0));
    if (plan.join_network || plan.detach_old_root) state->apart.emplace(state->child.pid);
    return ParkedChild(std::move(state));
}

pid_t ParkedChild::pid() const { return state_->child.pid; }

pid_t ParkedChild::guard_pid() const { return state_->guard_pid; }

Result<> ParkedChild::release(const Program& program, std::span<const int> stdio, const ChildGuard* guard) {
    State& state = *state_;
    const std::size_t placed = stdio.size() - (state.plan.landlock ? 1 : 0);
    if (placed > kMaxPlacements) return fail({Errc::internal, "too many descriptors for a command"});
    state.plan.placement_count = static_cast<unsigned>(placed);
    state.plan.controlling_terminal = program.controlling_terminal;
    state.program = program;
    state.argv = pointers(state.program.argv);
    state.fallback_argv = pointers(state.program.fallback_argv);
    state.environment = pointers(state.program.environment);
    state.plan.program = state.program.path.c_str();
    state.plan.argv = state.argv.data();
    state.plan.envp = state.environment.data();
    if (!state.program.fallback_path.empty()) {
        state.plan.fallback_program = state.program.fallback_path.c_str();
        state.plan.fallback_argv = state.fallback_argv.data();
    }
    state.plan.cwd = state.program.cwd.c_str();
    state.plan.umask = state.program.umask;
    state.plan.guard = guard;
    if (guard == nullptr) return sys::send_message(state.socket.get(), "x", stdio);
    std::array<char, sizeof(ChildReport)> bytes{};
    SUB_TRY_ASSIGN(const std::size_t size, sys::exchange(state.socket.get(), "x", stdio, bytes));
    if (size == 0) return fail({Errc::unavailable, "the command's process has ended"});
    if (size != sizeof state.guard_pid) return fail(report_in(bytes, size));
    std::memcpy(&state.guard_pid, bytes.data(), sizeof state.guard_pid);
    return {};
}

Result<> ParkedChild::root_is_entered() { return sys::send_message(state_->socket.get(), "x"); }

Result<> ParkedChild::network_is_made(int network) {
    return sys::send_message(state_->socket.get(), "x", {&network, 1});
}

Result<> ParkedChild::await_confined() {
    std::array<char, sizeof(ChildReport)> bytes{};
    SUB_TRY_ASSIGN(const auto received, sys::receive_message(state_->socket.get(), bytes));
    state_->apart.reset();  // before it becomes a command, which has all of them
    if (received.size == 1) return {};
    if (received.size == 0) return fail({Errc::unavailable, "the first process of the world has ended"});
    return fail(report_in(bytes, received.size));
}

void ParkedChild::note_reaped() {
    state_->reaped = true;
    state_->apart.reset();
}

std::optional<Error> ParkedChild::failure() {
    std::array<char, sizeof(ChildReport)> bytes{};
    const auto received = sys::receive_message(state_->socket.get(), bytes);
    // Killed before it had read what it was sent.
    if (!received && received.error().os_errno() == ECONNRESET) return std::nullopt;
    if (!received) return received.error();
    if (received->size == 0) return std::nullopt;  // closed by the execve
    return report_in(bytes, received->size);
}

}  // namespace substrate::process
