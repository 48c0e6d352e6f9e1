// PID 1 of a world. Descriptor 3 is the supervisor's socket, over which the plan
// comes first. Single-threaded, static and small: it sets the
// world up in one visible order and then serves it.
#include <fcntl.h>

#include <cstring>

#include "plan/world_plan.hpp"
#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "world/init_loop.hpp"
#include "world/init_protocol.hpp"
#include "world/packet.hpp"
#include "world/probe_child.hpp"
#include "world/setup.hpp"

namespace {

using namespace substrate;

std::vector<sock_filter> filter_of(const std::string& bytes) {
    std::vector<sock_filter> filter(bytes.size() / sizeof(sock_filter));
    if (filter.empty()) return filter;  // there is none, and memcpy(3) takes no null pointer
    std::memcpy(filter.data(), bytes.data(), filter.size() * sizeof(sock_filter));
    return filter;
}

// Where the machine's memory ends, who runs in worlds ends first: before anything of the person's, even
// where no group holds a world's memory. proc_pid_oom_score_adj(5): half of all memory is added to what
// each of them has. Without a /proc of the host's it stays as it is. Before forbid_tracing: then the file is
// root's.
void be_ended_first() {
    constexpr std::string_view kScore = "500";
    if (const auto file = sys::open_path("/proc/self/oom_score_adj", O_WRONLY))
        (void)sys::write_all(file->get(), kScore);
}

Result<> run() {
    be_ended_first();
    SUB_TRY(sys::forbid_tracing());
    SUB_TRY_ASSIGN(world::Packet packet, world::receive_packet(world::kControlFd));
    if (packet.closed) return {};  // nobody needs this world any more
    if (world::is_probe_question(packet.payload)) {
        SUB_TRY_ASSIGN(const world::ProbeQuestion question, world::decode_probe_question(packet.payload));
        return world::send_packet(world::kControlFd, world::encode(world::try_everything(question)), {});
    }
    SUB_TRY_ASSIGN(const world::Order order, world::decode_order(packet.payload));
    const auto* set_up = std::get_if<world::SetUpOrder>(&order);
    if (set_up == nullptr) return fail({Errc::internal, "an order out of turn"});
    SUB_TRY(world::join_cgroups(packet.fds));
    packet.fds.clear();
    SUB_TRY_ASSIGN(const plan::WorldPlan plan, plan::decode_plan(set_up->plan));
    const std::vector<sock_filter> filter = filter_of(set_up->seccomp);
    SUB_TRY_ASSIGN(process::ParkedChild first, world::park_first(plan, filter));
    SUB_TRY_ASSIGN(world::NetworkMaker maker, world::NetworkMaker::begin(plan));
    SUB_TRY_ASSIGN(world::Staging staging, world::set_up_world(plan));
    SUB_TRY(first.root_is_entered());
    auto network = maker.finish();
    if (!network) return fail(std::move(network).error().during("making the world's network"));
    if (network->ns) SUB_TRY(first.network_is_made(network->ns.get()));
    return world::serve_world(world::kControlFd, plan, std::move(staging), filter, std::move(first),
                              *std::move(network));
}

}  // namespace

int main() {
    // Whoever runs this by hand gets an answer instead of a changed system.
    if (::fcntl(world::kControlFd, F_GETFD) < 0 || ::getpid() != 1) {
        (void)sys::write_all(2, "substrate-world-init: started by substrate only, as PID 1 of a world\n");
        return 2;
    }
    ::fcntl(world::kControlFd, F_SETFD, FD_CLOEXEC);
    if (const auto result = run(); !result) {
        const world::Event failed = world::Failed{result.error().message(), result.error().os_errno()};
        (void)world::send_packet(world::kControlFd, world::encode(failed), {});
        return 1;
    }
    return 0;
}
