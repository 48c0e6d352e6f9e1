// PID 1 of a world. Descriptors 3, 4 and 5 are the supervisor's socket, the
// plan and the seccomp program. Single-threaded, static and small: it sets the
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

Result<std::vector<sock_filter>> read_filter(int fd) {
    SUB_TRY_ASSIGN(const std::string bytes, sys::read_to_end(fd, 1 << 20));
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
    SUB_TRY_ASSIGN(const std::string bytes, sys::read_to_end(world::kPlanFd, 1 << 20));
    if (world::is_probe_question(bytes)) {
        SUB_TRY_ASSIGN(const world::ProbeQuestion question, world::decode_probe_question(bytes));
        return world::send_packet(world::kControlFd, world::encode(world::try_everything(question)), {});
    }
    SUB_TRY_ASSIGN(const plan::WorldPlan plan, plan::decode_plan(bytes));
    SUB_TRY_ASSIGN(const std::vector<sock_filter> filter, read_filter(world::kFilterFd));
    ::close(world::kPlanFd);
    ::close(world::kFilterFd);
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
