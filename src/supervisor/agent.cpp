#include "supervisor/agent.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "base/paths.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/executor.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/gc.hpp"
#include "supervisor/idle_worlds.hpp"
#include "sys/dir_watch.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/socket.hpp"
#include "sys/tree_ops.hpp"
#include "world/host_sockets.hpp"
#include "world/probe.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kTidyIntervalMs = 1'000;
constexpr int kSettleMs = 50;  // after the last edit of a policy

}  // namespace

Result<std::unique_ptr<Agent>> Agent::start(const Env& env, const Home& home, const AgentOptions& options,
                                            sys::UniqueFd listener) {
    SUB_TRY(create_home(home));
    SUB_TRY_ASSIGN(sys::UniqueFd lock,
                   sys::open_path(home.agent_lock(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    SUB_TRY_ASSIGN(const bool locked, sys::try_lock(lock.get()));
    if (!locked) return fail({Errc::conflict, "another agent serves " + home.path});

    Machine machine{.env = env,
                    .facts = {},
                    .init_program = options.init_program,
                    .cgroups = {},
                    .capture_roots = capture_roots(env, home),
                    .file_limit = options.file_limit,
                    .low_descriptors = {},
                    .standby = options.settings.standby};
    SUB_TRY_ASSIGN(machine.low_descriptors, process::LowDescriptors::reserve());
    SUB_TRY_ASSIGN(machine.facts, world::probe_host(env, {options.init_program, home.path,
                                                          usual_capture_root(machine.capture_roots)}));
    SUB_TRY_ASSIGN(machine.cgroups, world::find_cgroup_ground());
    machine.cgroups.keep_parents = true;
    SUB_TRY(machine.seccomp->of(SeccompMode::enforce));  // for the first world
    SUB_TRY_ASSIGN(trace::TraceWriter trace, trace::TraceWriter::open(home.path));
    // What an earlier agent left behind, before anybody can make more of it.
    GcReport ignored = collect_garbage(env, machine.capture_roots, /*dry_run=*/false);

    std::unique_ptr<Agent> agent(new Agent(std::move(machine), std::move(trace), home, options));
    agent->lock_ = std::move(lock);
    const broker::Places places =
        broker::places_of(home.path, agent->machine_.facts.home, agent->machine_.facts.uid);
    agent->machine_.scope_tokens = std::make_shared<ScopeTokens>(env);
    agent->machine_.network = std::make_shared<Network>(env, agent->trace_, options.gateway_program, places);
    agent->machine_.ports = std::make_shared<PublishedPorts>(agent->machine_.network);
    agent->broker_ = std::make_unique<broker::Broker>(env, places);
    agent->unwatch_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!agent->unwatch_) return fail(Error::last_os("eventfd"));
    agent->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!agent->wake_) return fail(Error::last_os("eventfd"));
    agent->owns_socket_ = !listener;
    agent->listener_ = std::move(listener);
    if (agent->owns_socket_) {
        SUB_TRY_ASSIGN(agent->listener_, sys::listen_stream(home.control_socket(), 128));
    } else if (::fcntl(agent->listener_.get(), F_SETFL, O_NONBLOCK) != 0) {
        return fail(Error::last_os("fcntl", home.control_socket()));
    }
    agent->started_ns_ = agent->last_request_ns_ = env.monotonic_ns();
    return agent;
}

Agent::~Agent() {
    // The network writes records as long as it lives, and worlds keep it alive.
    projects_.clear();
    machine_.ports.reset();
    machine_.network.reset();
    // What is left of them is the next agent's, or gc's.
    (void)world::remove_empty_parents(machine_.cgroups);
}

Result<std::shared_ptr<Project>> Agent::project(const std::string& path) {
    const std::scoped_lock lock(mutex_);
    if (const auto it = projects_.find(path); it != projects_.end()) return it->second;
    SUB_TRY_ASSIGN(std::shared_ptr<Project> opened, Project::open(machine_, path));
    projects_.emplace(path, opened);
    return opened;
}

std::vector<std::shared_ptr<Project>> Agent::projects() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::shared_ptr<Project>> all;
    for (const auto& [path, project] : projects_) all.push_back(project);
    return all;
}

void Agent::count_command(bool warm) {
    ++commands_;
    if (warm) ++reused_;
}

void Agent::request_stop() {
    stopping_ = true;
    (void)sys::write_all(wake_.get(), std::string_view("\1\0\0\0\0\0\0\0", 8));
}

bool Agent::begin_listening(int fd) {
    const std::scoped_lock lock(mutex_);
    if (stopping_) return false;
    listening_.insert(fd);
    return true;
}

void Agent::end_listening(int fd) {
    const std::scoped_lock lock(mutex_);
    listening_.erase(fd);
}

void Agent::begin_request() {
    const std::scoped_lock lock(mutex_);
    ++busy_;
}

void Agent::end_request() {
    const std::scoped_lock lock(mutex_);
    if (--busy_ == 0) quiet_.notify_all();
    last_request_ns_ = machine_.env.monotonic_ns();
}

// To shut down a socket that a service manager keeps would shut it down for the next agent
// too; so nobody waits in accept(2) there.
Result<sys::UniqueFd> Agent::accept() {
    if (owns_socket_) return sys::accept_stream(listener_.get());
    for (;;) {
        std::array<pollfd, 2> polled = {pollfd{listener_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
        if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
            return fail(Error::last_os("poll"));
        if (polled[1].revents != 0) return fail({Errc::unavailable, "the agent stops"});
        auto accepted = sys::accept_stream(listener_.get());
        if (accepted || accepted.error().os_errno() != EAGAIN) return accepted;
    }
}

// The thread that accepts a connection serves it: no hand-over. Before it
// does, it makes sure that another one waits for the next.
void Agent::serve() {
    for (;;) {
        {
            const std::scoped_lock lock(mutex_);
            ++waiting_;
        }
        auto accepted = accept();
        {
            std::unique_lock lock(mutex_);
            --waiting_;
            if (stopping_) {
                if (accepted) accepted->reset();
                // A command may still run in a world that this thread has started.
                quiet_.wait(lock, [this] { return released_; });
                return;
            }
            if (!accepted) return;
            ++busy_;
            if (waiting_ == 0) add_server();
        }
        serve_connection(*this, Channel(std::move(*accepted)));
        end_request();
    }
}

void Agent::add_server() {
    servers_.emplace_back([this] { serve(); });
}

bool Agent::idle_for_long() const {
    const std::scoped_lock lock(mutex_);
    return busy_ == 0 &&
           machine_.env.monotonic_ns() - last_request_ns_ > options_.settings.agent_idle_ms * 1'000'000;
}

// Idle worlds do not hide what has come since: the next command gets another.
void Agent::note_sockets(const std::vector<std::shared_ptr<Project>>& projects) {
    if (projects.empty()) return;
    auto names = world::bound_socket_names();
    // Cheap as long as nothing has changed, which is nearly always.
    if (!names || *names == socket_names_) return;
    const auto sockets = world::host_sockets();
    if (!sockets) return;
    socket_names_ = *std::move(names);
    for (const auto& project : projects) project->note_sockets(*sockets);
}

// Off the path of any command: worlds that have been idle for long, captures
// that were used up, background work that has ended.
void Agent::tidy(bool everything) {
    const std::int64_t now = machine_.env.realtime_ns();
    const auto all = projects();
    if (!everything) note_sockets(all);
    if (broker_->grants().expire()) machine_.network->revise(*broker_);
    for (const auto& project : all) {
        for (auto& world :
             project->take_idle(everything ? INT64_MAX : now - options_.settings.world_idle_ms * 1'000'000)) {
            const bool working = world->background && !everything;
            if (working) project->release(std::move(world));
            else end_world(machine_, trace_, *project, std::move(world));
        }
        settle_quiet_worlds(machine_, trace_, *project);
        project->serve_doors(machine_, trace_, *broker_);
        project->store().empty_trash();
    }
}

// An edit is read when it is made, so that what is wrong with it is on record before a
// command meets it. What this misses the next evaluation sees.
void Agent::watch_policies(int stop_fd) {
    const broker::Places& places = broker_->places();
    auto watch = sys::DirWatch::open(
        {places.user_policies, places.system_policies, std::string(parent_of(places.managed_policy))});
    while (watch) {
        const auto woken = watch->wait(stop_fd);
        if (!woken || *woken == sys::DirWatch::Wake::stopped) return;
        // Editors write more than once.
        if (const auto stopped = sys::wait_readable(stop_fd, kSettleMs); !stopped || *stopped) return;
        broker_->refresh();
        (void)trace_reloads(machine_, trace_, *broker_);
        machine_.network->revise(*broker_);
    }
}

Result<> Agent::run(int stop_fd) {
    const std::jthread watcher([this] { watch_policies(unwatch_.get()); });
    auto result = serve_until(stop_fd);
    (void)sys::write_all(unwatch_.get(), std::string_view("\1\0\0\0\0\0\0\0", 8));
    return result;
}

Result<> Agent::serve_until(int stop_fd) {
    {
        const std::scoped_lock lock(mutex_);
        for (int i = 0; i < 2; ++i) add_server();
    }
    while (!stopping_ && !idle_for_long()) {
        std::array<pollfd, 2> polled = {pollfd{stop_fd, POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
        const int n = ::poll(polled.data(), polled.size(), kTidyIntervalMs);
        if (n < 0 && errno != EINTR) return fail(Error::last_os("poll"));
        if (n > 0 && (polled[0].revents != 0 || polled[1].revents != 0)) break;
        tidy(/*everything=*/false);
    }
    // Nobody new: the socket goes first, so that the next client starts a new agent. A socket
    // that a service manager keeps stays, and so does who waits at it, for the next agent.
    if (owns_socket_) (void)::unlink(home_.control_socket().c_str());
    std::vector<std::jthread> servers;
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
        if (owns_socket_) (void)::shutdown(listener_.get(), SHUT_RDWR);
        for (const int fd : listening_) (void)::shutdown(fd, SHUT_RD);
        servers.swap(servers_);
    }
    (void)sys::write_all(wake_.get(), std::string_view("\1\0\0\0\0\0\0\0", 8));
    if (door_ != nullptr) door_->close();
    {
        // The commands that are still running.
        std::unique_lock lock(mutex_);
        quiet_.wait(lock, [this] { return busy_ == 0; });
        released_ = true;
    }
    quiet_.notify_all();
    servers.clear();
    if (door_ != nullptr) door_->end_threads();
    tidy(/*everything=*/true);
    return {};
}

}  // namespace substrate::supervisor
