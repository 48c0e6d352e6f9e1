#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "model/exec.hpp"
#include "plan/world_plan.hpp"
#include "supervisor/branches.hpp"
#include "supervisor/nested_door.hpp"
#include "supervisor/network.hpp"
#include "supervisor/published_ports.hpp"
#include "supervisor/scope_tokens.hpp"
#include "supervisor/store.hpp"
#include "sys/unique_fd.hpp"
#include "world/cgroup.hpp"
#include "world/host_link.hpp"
#include "world/world.hpp"

namespace substrate::supervisor {

// What all worlds of one agent have in common.
struct Machine {
    const Env& env;
    plan::HostFacts facts;
    std::string init_program;
    world::CgroupGround cgroups;
    std::vector<std::string> capture_roots;
    std::uint64_t file_limit = 0;                              // soft, of open files, in worlds; 0: as ours
    std::shared_ptr<process::LowDescriptors> low_descriptors;  // null: no number of them is kept free
    bool standby = false;                   // whether worlds are made ahead of who wants a fresh one
    std::shared_ptr<Network> network;       // null: worlds have their loopback only
    std::shared_ptr<PublishedPorts> ports;  // null: nothing is published
    std::shared_ptr<const world::SeccompPrograms> seccomp = std::make_shared<world::SeccompPrograms>();
    std::shared_ptr<ScopeTokens> scope_tokens;  // null: no command gets one
    // Connections from inside all worlds.
    std::shared_ptr<std::atomic<unsigned>> nested_open = std::make_shared<std::atomic<unsigned>>(0);
};

// A running world of one project and the capture slots that it uses one after
// another.
class SessionWorld {
  public:
    SessionWorld(plan::WorldPlan of_plan, world::Cgroup of_group, world::World running, sys::UniqueFd lock,
                 std::int64_t now_ns)
        : cgroup(std::move(of_group)),
          plan(std::move(of_plan)),
          world(std::move(running)),
          started_ns(now_ns),
          lock_(std::move(lock)) {}

    const std::string& id() const { return plan.world_id; }
    FsAccess fs;          // what it was made for
    plan::Limits limits;  // the same, without defaults
    std::optional<std::vector<std::uint16_t>> tcp_ports;
    std::shared_ptr<const NetworkOrder> net;                  // the same; null: loopback only
    plan::NetworkMode network = plan::NetworkMode::loopback;  // the same; the plan may have less
    std::string network_name;                                 // the same
    // Once its first command has begun, where there is a way out.
    std::unique_ptr<Network::Served> served;
    // On the host; outlives the processes in it.
    std::optional<world::NetworkName> named;
    std::optional<world::HostLink> link;
    world::Cgroup cgroup;  // outlives the processes in it
    // What the group had counted when the last command ended.
    world::CgroupUsage counted;
    // The slot for the next command, made if there is none.
    Result<std::string> prepare_slot(Store& store);
    // Takes the slot that was made before the world was launched: number 0.
    void adopt_slot(std::string slot) {
        slot_ = std::move(slot);
        next_slot_ = 1;
    }
    // The slot that nothing was written in; empty: there is none.
    const std::string& unused_slot() const { return slot_; }
    // The slot's capture was used up or moved away: its rest goes to the trash.
    Result<> retire_slot(Store& store, const std::string& slot);

    plan::WorldPlan plan;
    world::World world;
    std::int64_t started_ns;
    std::uint64_t commands = 0;
    std::vector<plan::NamedSocket> named_sockets;  // of `fs`, as they were when it was launched
    std::uint64_t sockets_seen = 0;                // up to which Project::note_sockets() it shows none
    bool standby = false;                          // made ahead, for one who wants a fresh world
    std::uint64_t masks = 0;                       // mask_identities() when it was launched
    bool reserved = false;                         // only for who wants it by its id
    std::int64_t last_used_ns = 0;
    // Set while background processes of `background_span` hold a slot.
    bool background = false;
    std::string background_span;
    std::string live_slot;
    std::int64_t live_since_ns = 0;  // what changed on the host before is known to the capture
    // Where commands inside ask; served by who runs a command in it, or looks after it while it is idle.
    NestedDoor door;
    // As soon as the world has handed it over.
    void open_door(const Machine& machine) {
        if (sys::UniqueFd listener = world.take_door())
            door.open(std::move(listener), world.init_pid(), machine.nested_open);
    }
    // Its ports on the host; null: it has none. Before the world's end.
    std::unique_ptr<PublishedPorts::World> ports;
    // What the mark of the next command's capture says already (Store::mark_capture).
    world::CaptureSlot marked;

  private:
    sys::UniqueFd lock_;
    std::string slot_;
    unsigned next_slot_ = 0;
};

// One project with its store and its idle worlds. Thread-safe.
class Project {
  public:
    static Result<std::shared_ptr<Project>> open(const Machine& machine, const std::string& path);

    const std::string& path() const { return store_.project(); }
    const std::string& session_id() const { return session_id_; }
    // Guards the store and everything that is written to the host's project.
    std::mutex& commit_mutex() { return commit_mutex_; }
    Store& store() { return store_; }

    struct Wanted {
        std::optional<CaptureStrategy> capture;
        bool host_network = false;
        std::optional<std::vector<std::uint16_t>> tcp_ports;  // of the host's network
        std::shared_ptr<const NetworkOrder> net;              // null: nothing can be reached
        std::string network_name;  // of the world's network on the host; empty: any
        bool fresh = false;        // not one that has run a command
        FsAccess fs;
        plan::Limits limits;
        SeccompMode seccomp = SeccompMode::enforce;
        std::string world_id;  // this one and no other; empty: any that fits
        // Who asks: may be moved aside in the group that it shares with us (CgroupGround::movable).
        pid_t caller = 0;
    };
    struct Lease {
        std::unique_ptr<SessionWorld> world;
        bool warm = false;
    };
    // An idle world that fits, one with background processes first, or a new one. A fresh
    // world may have been made before it was wanted. One that is wanted by its id: Errc::not_found where
    // there is none, Errc::conflict where it is at work or does not fit.
    Result<Lease> acquire(const Machine& machine, const Wanted& wanted);
    // A world that nothing has run in, made ahead for the next one who wants a fresh one: it
    // is like the one that was just used up. Null when there is one already.
    Result<std::unique_ptr<SessionWorld>> make_standby(const Machine& machine, const Wanted& wanted);
    // Gives it to who wants a fresh one. Null: it could not be made.
    void keep_standby(std::unique_ptr<SessionWorld> world);
    // Between the two, a world is about to be given back: acquire waits for it
    // rather than making another.
    void expect_release();
    void release_done();
    // Gives an idle world back for the next command.
    void release(std::unique_ptr<SessionWorld> world);
    // A world that was acquired has ended.
    void forget(const std::string& world_id);
    // Whether there is such a world: idle, at work, or known as a branch.
    bool has_world(const std::string& world_id);
    // Takes every idle world out: to end them, or those idle since before `ns`.
    std::vector<std::unique_ptr<SessionWorld>> take_idle(std::int64_t unused_since_ns);

    // Takes out the idle worlds that have something to say.
    std::vector<std::unique_ptr<SessionWorld>> take_speaking();
    // Answers at the doors of idle worlds, where background processes may ask.
    void serve_doors(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker);

    // The kept captures that later commands see, top first, relative to the store.
    std::vector<std::string> pending_layers();
    // What a command in this world sees over the project: those, or what lies over the project in the world's
    // own line.
    Result<std::vector<std::string>> layers_for(const std::string& world_id);
    // Reads anew what is kept.
    void reload_pending();

    // The worlds that were made by requests of their own, and snapshots, by id.
    std::vector<Branch> branches();
    std::size_t count_branches(bool snapshots);
    std::optional<Branch> branch(const std::string& id);
    Result<> keep_branch(const Branch& branch);
    Result<> drop_branch(const std::string& id);
    // Errc::conflict while a command, or what it has left, runs in this world; Errc::not_found for one that
    // is neither known nor there.
    Result<> check_quiet(const std::string& id);
    // The idle world of this id; null: it does not run. Errc::conflict while it is at work.
    Result<std::unique_ptr<SessionWorld>> take_out(const std::string& id);
    // That branch, if its line of changes is its own.
    std::optional<Branch> own_line(const std::string& id);
    // The host's sockets now. Worlds that show one of them are not used again, unless something lives in
    // them.
    void note_sockets(const std::vector<std::string>& sockets);
    // For status: called under the project's lock.
    void for_each_idle(const std::function<void(const SessionWorld&)>& visit);

  private:
    Project(Store store, std::string session_id)
        : store_(std::move(store)), session_id_(std::move(session_id)) {}
    Result<plan::WorldPlan> plan_world(const Machine& machine, const Wanted& wanted) const;
    bool is_current(const Machine& machine, SessionWorld& world);
    static bool shows_named_sockets(const Machine& machine, const SessionWorld& world);
    bool shows_sockets(SessionWorld& world);
    std::uint64_t sockets_noted() {
        const std::scoped_lock lock(mutex_);
        return sockets_noted_;
    }
    static bool fits(const SessionWorld& world, const Wanted& wanted);
    std::unique_ptr<SessionWorld> take_fitting(const Wanted& wanted);
    std::unique_ptr<SessionWorld> take_standby(const Wanted& wanted);
    Result<std::unique_ptr<SessionWorld>> take_named(const Wanted& wanted);
    Result<Lease> begin_again(const Machine& machine, const Wanted& wanted, const Branch& branch);
    Result<> end_misfit(const Wanted& wanted);
    bool runs(const std::string& world_id);
    bool claim(const std::string& world_id);
    Lease lend(std::unique_ptr<SessionWorld> world, bool warm);
    Result<std::unique_ptr<SessionWorld>> launch(const Machine& machine, const Wanted& asked);
    Result<std::unique_ptr<SessionWorld>> launch_in(const Machine& machine, const Wanted& wanted,
                                                    Store::MadeWorld& made);

    Store store_;
    std::string session_id_;
    std::mutex commit_mutex_;
    std::mutex mutex_;  // of what follows
    std::condition_variable released_;
    int expected_ = 0;  // worlds about to be released
    std::vector<std::unique_ptr<SessionWorld>> idle_;
    std::set<std::string> lent_;  // ids of worlds that are at work, or being ended
    std::unique_ptr<SessionWorld> standby_;
    bool standby_coming_ = false;
    std::vector<std::string> pending_;
    std::map<std::string, Branch> branches_;
    std::vector<std::string> sockets_;  // of the host, as noted last
    std::uint64_t sockets_noted_ = 0;   // how often
};

// The world that `request` wants; `net` says what the policies let it reach.
Project::Wanted wanted_for(const Machine& machine, const ExecRequest& request,
                           std::shared_ptr<const NetworkOrder> net);

// Whether a world that was made for one order can be given another.
bool same_networks(const std::shared_ptr<const NetworkOrder>& a,
                   const std::shared_ptr<const NetworkOrder>& b);

// Which objects of the host the plan's masks cover: a secret that appears or is
// replaced later is not covered, so the world must not be used again.
std::uint64_t mask_identities(const plan::WorldPlan& plan);

// The plan for a new world of the project at `path`, without making anything.
Result<plan::WorldPlan> plan_project_world(const Machine& machine, const std::string& path,
                                           const std::string& store, const Project::Wanted& wanted);

// The directory to capture for a command in `cwd` (canonical): the nearest
// ancestor with a .git or .substrate-profile, short of the home directory, else `cwd`.
std::string find_project(const std::string& cwd, const std::string& home);

}  // namespace substrate::supervisor
