// The one way out of worlds. Started by the agent, which gives it worlds to serve over descriptor 3. As
// "substrate-gateway PID" it makes sockets for that one, over descriptor 3, in the network of the world
// whose init descriptor 4 is the pidfd of.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include <string>

#include "egress/confine.hpp"
#include "egress/gateway.hpp"
#include "egress/socket_maker.hpp"
#include "plan/world_plan.hpp"
#include "sys/file.hpp"
#include "sys/file_limit.hpp"

namespace {

using namespace substrate;

constexpr int kControl = 3, kWorld = 4;

int fail_with(const Error& error) {
    (void)sys::write_all(2, "substrate-gateway: " + error.describe() + "\n");
    return 1;
}

int make_sockets(const std::string& pid) {
    if (auto entered = egress::enter_world_network(pid, kWorld); !entered) return fail_with(entered.error());
    const auto served = egress::serve_sockets(kControl);
    return served ? 0 : fail_with(served.error());
}

}  // namespace

int main(int argc, char** argv) {
    if (::fcntl(kControl, F_SETFD, FD_CLOEXEC) != 0) {
        (void)sys::write_all(2, "substrate-gateway: started by substrate only\n");
        return 2;
    }
    // What is written to a connection that has ended says so by its result.
    ::signal(SIGPIPE, SIG_IGN);
    // It reads what hostile programs send: nobody's files need be in reach of its memory.
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail_with(Error::last_os("prctl"));
    if (argc == 2) return make_sockets(argv[1]);
    (void)sys::raise_file_limit();
    auto gateway = egress::Gateway::make(sys::UniqueFd(kControl), {*IpNetwork::parse(plan::kNamedNetwork),
                                                                   *IpNetwork::parse(plan::kNamedNetwork6)});
    if (!gateway) return fail_with(gateway.error());
    // It has read how the host resolves names, and needs nothing else of it.
    if (auto confined = egress::confine_gateway(); !confined) return fail_with(confined.error());
    if (auto ended = (*gateway)->run(); !ended) return fail_with(ended.error());
    return 0;
}
