#include "supervisor/gateway_process.hpp"

#include <fcntl.h>
#include <signal.h>

#include <array>

#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kGatewayControl = 3;

}  // namespace

Result<process::Child> spawn_gateway(const std::string& program, std::string word,
                                     const std::vector<int>& fds) {
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    std::string name = "substrate-gateway";
    std::array<char*, 3> argv = {name.data(), word.empty() ? nullptr : word.data(), nullptr};
    std::array<char*, 1> no_environment = {nullptr};
    process::ChildPlan child;
    child.program = program.c_str();
    child.argv = argv.data();
    child.envp = no_environment.data();
    std::vector<int> sources(kGatewayControl, null.get());
    sources.insert(sources.end(), fds.begin(), fds.end());
    for (const int source : sources) {
        child.placements[child.placement_count] = {source, static_cast<int>(child.placement_count)};
        ++child.placement_count;
    }
    child.death_signal = SIGKILL;
    child.new_session = true;
    return process::spawn(child, {});
}

Result<> try_gateway(const std::string& program) {
    constexpr int kPatienceMs = 10'000;
    SUB_TRY_ASSIGN(sys::SocketPair control, sys::make_seqpacket_pair());
    SUB_TRY_ASSIGN(const process::Child child, spawn_gateway(program, {}, {control.theirs.get()}));
    control.theirs.reset();
    const auto answers = [&]() -> Result<> {
        SUB_TRY(sys::send_message(control.ours.get(), R"({"type": "sync", "number": 1})", {}));
        SUB_TRY_ASSIGN(const bool spoken, sys::wait_readable(control.ours.get(), kPatienceMs));
        if (!spoken) return fail({Errc::unavailable, "it does not answer"});
        std::array<char, 4096> buffer{};
        SUB_TRY_ASSIGN(const auto answer, sys::receive_message(control.ours.get(), buffer));
        if (answer.size == 0) return fail({Errc::unavailable, "it ends at once"});
        return {};
    }();
    end_gateway(child);
    return answers;
}

// It keeps nothing that would be lost, and may be unable to end by itself.
void end_gateway(const process::Child& child) {
    if (!child.pidfd) return;
    (void)sys::send_signal(child.pid, SIGKILL);
    (void)process::wait_for(child);
}

}  // namespace substrate::supervisor
