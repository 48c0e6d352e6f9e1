#include "world/world.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <array>

#include "sys/file.hpp"
#include "sys/namespace.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"
#include "world/packet.hpp"

namespace substrate::world {
namespace {

std::vector<sys::IdRange> to_ranges(const std::vector<plan::IdExtent>& extents) {
    std::vector<sys::IdRange> ranges;
    for (const plan::IdExtent& extent : extents) ranges.push_back({extent.first, extent.count});
    return ranges;
}

// The network namespace is made beside the mounts (NetworkMaker).
int namespaces_of(bool user_namespace) {
    return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (user_namespace ? CLONE_NEWUSER : 0);
}

std::string filter_bytes(const SeccompProgram* program) {
    if (program == nullptr) return {};
    return {reinterpret_cast<const char*>(program->instructions.data()),
            program->instructions.size() * sizeof(sock_filter)};
}

}  // namespace

InitOptions init_options_for(const plan::HostFacts& facts, std::string init_program) {
    InitOptions options;
    options.init_program = std::move(init_program);
    options.namespaces = namespaces_of(facts.user_namespace.ok);
    options.uid_map = facts.uid_extents;
    options.gid_map = facts.gid_extents;
    return options;
}

// SAFETY: the child reads these until it has executed the program, so they stay where they are.
struct WaitingInit::Arguments {
    explicit Arguments(std::string init_program) : program(std::move(init_program)) {}
    std::string program;
    std::string name = "substrate-world-init";  // its path is the host's business
    std::array<char*, 2> argv = {name.data(), nullptr};
    std::array<char*, 1> no_environment = {nullptr};
};

WaitingInit::WaitingInit(std::unique_ptr<Arguments> arguments, process::StartingChild child,
                         sys::UniqueFd control)
    : arguments_(std::move(arguments)), child_(std::move(child)), control_(std::move(control)) {}
WaitingInit::WaitingInit(WaitingInit&&) noexcept = default;
WaitingInit::~WaitingInit() = default;

Result<WaitingInit> WaitingInit::start(const InitOptions& options) {
    SUB_TRY_ASSIGN(sys::SocketPair control, sys::make_seqpacket_pair());
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    auto arguments = std::make_unique<Arguments>(options.init_program);
    process::ChildPlan child;
    child.program = arguments->program.c_str();
    child.argv = arguments->argv.data();
    child.envp = arguments->no_environment.data();
    for (const int source : {null.get(), null.get(), null.get(), control.theirs.get()}) {
        child.placements[child.placement_count] = {source, static_cast<int>(child.placement_count)};
        ++child.placement_count;
    }
    child.death_signal = SIGKILL;
    child.new_session = true;
    child.file_limit = options.file_limit;
    child.raise_ambient_capabilities = true;
    process::SpawnOptions spawn_options{.namespaces = options.namespaces,
                                        .write_id_maps = {},
                                        .cgroup_fd = options.cgroup_fd,
                                        .low = options.low};
    if ((options.namespaces & CLONE_NEWUSER) != 0)
        spawn_options.write_id_maps = [&](pid_t pid) {
            return sys::write_identity_maps(pid, to_ranges(options.uid_map), to_ranges(options.gid_map));
        };
    SUB_TRY_ASSIGN(process::StartingChild starting, process::StartingChild::begin(child, spawn_options));
    return WaitingInit(std::move(arguments), std::move(starting), std::move(control.ours));
}

Result<WaitingInit::Running> WaitingInit::finish() {
    SUB_TRY_ASSIGN(process::Child child, child_.finish());
    return Running{std::move(child), std::move(control_)};
}

Result<World> World::set_up(WaitingInit init, const plan::WorldPlan& plan, const SeccompProgram* seccomp,
                            const Cgroup* cgroup) {
    SUB_TRY_ASSIGN_DURING(WaitingInit::Running running, init.finish(), "starting a world");
    World world(std::move(running.child), std::move(running.control));
    const SetUpOrder order{.plan = plan::encode_plan(plan), .seccomp = filter_bytes(seccomp)};
    const std::vector<int> tasks = cgroup == nullptr ? std::vector<int>() : cgroup->v1_task_fds();
    SUB_TRY_DURING(send_packet(world.control_.get(), encode(Order(order)), tasks), "starting a world");
    return world;
}

Result<World> World::launch(const plan::WorldPlan& plan, const LaunchOptions& options) {
    InitOptions init;
    init.init_program = options.init_program;
    init.namespaces = namespaces_of(plan.user_namespace);
    init.uid_map = plan.uid_map;
    init.gid_map = plan.gid_map;
    if (options.cgroup != nullptr) init.cgroup_fd = options.cgroup->v2_fd();
    SUB_TRY_ASSIGN_DURING(WaitingInit waiting, WaitingInit::start(init), "starting a world");
    return set_up(std::move(waiting), plan, options.seccomp, options.cgroup);
}

Result<> World::await_ready() {
    if (ready_) return {};
    auto first = receive();
    if (!first) return fail(std::move(first).error().during("starting a world"));
    if (const auto* failed = std::get_if<Failed>(&*first)) return fail(describe(*failed));
    if (!ready_) return fail({Errc::internal, "world-init spoke out of turn"});
    return {};
}

Error World::describe(const Failed& failed) const {
    Error error(Errc::os, failed.message);
    if (ready_) return std::move(error).during("starting the command");
    return std::move(error).during("setting up a world").hint("substrate world doctor");
}

World& World::operator=(World&& other) noexcept {
    if (this != &other) {
        end();
        init_ = std::move(other.init_);
        control_ = std::move(other.control_);
        door_ = std::move(other.door_);
        terminal_ = std::move(other.terminal_);
        ready_ = other.ready_;
        uplink_ = std::move(other.uplink_);
    }
    return *this;
}

World::~World() { end(); }

void World::end() {
    if (!init_.pidfd) return;
    // The init ends at the end of its socket; the signal is for one that hangs.
    control_.reset();
    const auto ended = sys::wait_readable(init_.pidfd.get(), 1'000);
    if (!ended || !*ended) (void)sys::send_signal(init_.pid, SIGKILL);
    (void)process::wait_for(init_);
    init_.pidfd.reset();
}

Result<> World::exec(const ExecOrder& order, const int (&stdio)[3], int token) {
    const std::array fds = {stdio[0], stdio[1], stdio[2], token};
    return send_packet(control_.get(), encode(Order(order)), std::span(fds).first(token >= 0 ? 4 : 3));
}

Result<> World::exec_on_terminal(const ExecOrder& order, int input, int token) {
    std::vector<int> fds;
    for (const int fd : {input, token})
        if (fd >= 0) fds.push_back(fd);
    return send_packet(control_.get(), encode(Order(order)), fds);
}

Result<> World::prepare(const CaptureSlot& slot) {
    return send_packet(control_.get(), encode(Order(PrepareOrder{slot})), {});
}

Result<> World::signal(int number, bool everything) {
    return send_packet(control_.get(), encode(Order(SignalOrder{number, everything})), {});
}

Result<> World::link(const LinkOrder& link) { return send_packet(control_.get(), encode(Order(link)), {}); }

Result<Event> World::receive() {
    SUB_TRY_ASSIGN(Packet packet, receive_packet(control_.get()));
    if (packet.closed) return fail({Errc::unavailable, "the world has ended"});
    auto event = decode_event(packet.payload);
    if (event && std::holds_alternative<Ready>(*event)) {
        ready_ = true;
        if (packet.fds.size() == 1) door_ = std::move(packet.fds.front());
    }
    if (event && std::holds_alternative<Uplink>(*event)) uplink_ = std::move(packet.fds);
    if (event && std::holds_alternative<TerminalOpened>(*event)) {
        if (packet.fds.size() != 1) return fail({Errc::internal, "a terminal without its descriptor"});
        terminal_ = std::move(packet.fds.front());
    }
    return event;
}

}  // namespace substrate::world
