#include "supervisor/session_world.hpp"

#include <fcntl.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "world/cgroup_maker.hpp"
#include "world/host_sockets.hpp"

namespace substrate::supervisor {
namespace {

const std::string kNetworkPrefix = "substrate-";

const std::string& granted_to(const std::shared_ptr<const NetworkOrder>& net) {
    static const std::string nobody;
    return net ? net->granted_to : nobody;
}

constexpr std::int64_t kHourNs = 3'600'000'000'000;

}  // namespace

Result<std::string> SessionWorld::prepare_slot(Store& store) {
    if (slot_.empty()) {
        SUB_TRY_ASSIGN(slot_, store.make_slot(id(), next_slot_, plan.capture.strategy));
        ++next_slot_;
    }
    return slot_;
}

Result<> SessionWorld::retire_slot(Store& store, const std::string& slot) {
    if (slot == slot_) slot_.clear();
    return store.discard(slot);
}

Project::Wanted wanted_for(const Machine& machine, const ExecRequest& request,
                           std::shared_ptr<const NetworkOrder> net) {
    // Who looks on finds the network of a replay by the span that is replayed.
    const bool replay = machine.facts.veth.ok && request.as_of_ns != 0 && is_id(request.parent_span, "spn");
    return {.capture = request.capture,
            .host_network = request.host_network,
            .tcp_ports = request.tcp_ports,
            .net = std::move(net),
            .network_name = replay ? kNetworkPrefix + request.parent_span : std::string(),
            .fresh = request.ephemeral || request.commit == CommitMode::discard,
            .fs = request.fs,
            .limits = plan::limits_of(request.limits),
            .seccomp = request.seccomp,
            .world_id = request.world_id};
}

plan::NetworkMode network_of(const Project::Wanted& wanted) {
    if (wanted.host_network) return plan::NetworkMode::host;
    if (!wanted.net) return plan::NetworkMode::loopback;
    return wanted.net->veth ? plan::NetworkMode::veth : plan::NetworkMode::gateway;
}

std::uint64_t mask_identities(const plan::WorldPlan& plan) {
    std::string identities;
    const auto add = [&](const WorldPath& path) {
        const auto st = sys::stat_at(AT_FDCWD, path.c_str());
        const std::uint64_t inode = st && *st ? (*st)->stx_ino : 0;
        identities.append(reinterpret_cast<const char*>(&inode), sizeof inode);
    };
    for (const plan::MountOp& op : plan.mounts)
        if (std::holds_alternative<plan::Mask>(op.action) && !is_within(op.target.str(), "/proc"))
            add(op.target);
    return XXH3_64bits(identities.data(), identities.size());
}

Result<plan::WorldPlan> plan_project_world(const Machine& machine, const std::string& path,
                                           const std::string& store, const Project::Wanted& wanted) {
    SUB_TRY_ASSIGN(const auto st, sys::stat_at(AT_FDCWD, path.c_str()));
    if (!st) return fail({Errc::not_found, "the project '" + printable(path) + "' does not exist"});
    plan::WorldSpec spec;
    spec.world_id = wanted.world_id.empty() ? make_world_id(machine.env) : wanted.world_id;
    spec.project = HostPath(path);
    spec.project_device = sys::device_of(*st);
    spec.project_inode = st->stx_ino;
    spec.store = HostPath(store);
    SUB_TRY_ASSIGN(spec.store_in_memory, is_in_memory(store));
    spec.capture = wanted.capture.value_or(CaptureStrategy::overlay);
    spec.capture_is_required = wanted.capture.has_value();
    spec.network = network_of(wanted);
    if (wanted.net) spec.networks = wanted.net->networks;
    spec.network_name = wanted.network_name;
    if (spec.network_name.empty() && spec.network == plan::NetworkMode::veth)
        spec.network_name = kNetworkPrefix + spec.world_id;
    spec.tcp_ports = wanted.tcp_ports;
    spec.fs = wanted.fs;
    spec.named_sockets = world::look_at_sockets(wanted.fs.sockets, machine.facts.uid);
    if (auto sockets = world::host_sockets()) spec.sockets = *std::move(sockets);
    else spec.sockets_unknown = sockets.error().message();
    spec.limits = wanted.limits;
    spec.seccomp = wanted.seccomp;
    spec.single_use = wanted.fresh;
    SUB_TRY_ASSIGN(plan::WorldPlan plan, plan::plan_world(spec, machine.facts));
    if (wanted.net && !wanted.net->no_veth.empty())
        plan.degradations.push_back(
            {"network", "net.mode veth is not available, the gateway is used: " + wanted.net->no_veth, {}});
    return plan;
}

Result<std::shared_ptr<Project>> Project::open(const Machine& machine, const std::string& path) {
    SUB_TRY(plan::check_project(path, machine.facts));
    SUB_TRY_ASSIGN(Store store, Store::open(machine.capture_roots, path));
    // Not make_shared: the constructor is private.
    std::shared_ptr<Project> project(new Project(std::move(store), make_session_id(machine.env)));
    project->reload_pending();
    return project;
}

void Project::reload_pending() {
    const auto all = store_.list();
    const auto branches = list_branches(store_);
    const std::scoped_lock lock(mutex_);
    pending_ = all ? pending_uppers(*all, {}) : std::vector<std::string>();
    if (!branches) return;
    branches_.clear();
    for (const Branch& branch : *branches) branches_.emplace(branch.id, branch);
}

std::vector<std::string> Project::pending_layers() {
    const std::scoped_lock lock(mutex_);
    return pending_;
}

Result<std::vector<std::string>> Project::layers_for(const std::string& world_id) {
    if (const auto line = own_line(world_id)) return branch_layers(store_, *line);
    return pending_layers();
}

std::vector<Branch> Project::branches() {
    const std::scoped_lock lock(mutex_);
    std::vector<Branch> all;
    for (const auto& [id, branch] : branches_) all.push_back(branch);
    return all;
}

std::size_t Project::count_branches(bool snapshots) {
    const std::scoped_lock lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count_if(
        branches_, [&](const auto& entry) { return entry.second.is_snapshot() == snapshots; }));
}

Result<> Project::check_quiet(const std::string& id) {
    std::unique_lock lock(mutex_);
    released_.wait_for(lock, std::chrono::seconds(1), [&] { return expected_ == 0; });
    if (lent_.contains(id))
        return fail(
            Error(Errc::conflict, "the world " + id + " runs a command").hint("wait until that has ended"));
    const auto it = std::ranges::find_if(idle_, [&](const auto& world) { return world->id() == id; });
    if (it != idle_.end() && (*it)->background)
        return fail(
            Error(Errc::conflict, "background processes live in the world " + id + " and hold its capture")
                .hint("end them first"));
    if (it == idle_.end() && !branches_.contains(id))
        return fail({Errc::not_found, "there is no world " + id + " in " + printable(path())});
    return {};
}

Result<std::unique_ptr<SessionWorld>> Project::take_out(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    if (lent_.contains(id))
        return fail(
            Error(Errc::conflict, "the world " + id + " runs a command").hint("wait until that has ended"));
    const auto it = std::ranges::find_if(idle_, [&](const auto& world) { return world->id() == id; });
    if (it == idle_.end()) return nullptr;
    std::unique_ptr<SessionWorld> world = std::move(*it);
    idle_.erase(it);
    lent_.insert(id);
    return world;
}

std::optional<Branch> Project::branch(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    const auto it = branches_.find(id);
    return it == branches_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<Branch> Project::own_line(const std::string& id) {
    auto found = branch(id);
    return found && found->own_line() ? found : std::nullopt;
}

Result<> Project::keep_branch(const Branch& branch) {
    SUB_TRY(save_branch(store_, branch));
    const std::scoped_lock lock(mutex_);
    branches_[branch.id] = branch;
    return {};
}

Result<> Project::drop_branch(const std::string& id) {
    SUB_TRY(remove_branch(store_, id));
    const std::scoped_lock lock(mutex_);
    branches_.erase(id);
    return {};
}

// A socket that was made anew is another one; the world has the old.
bool Project::shows_named_sockets(const Machine& machine, const SessionWorld& world) {
    return world.fs.sockets.empty() ||
           world::look_at_sockets(world.fs.sockets, machine.facts.uid) == world.named_sockets;
}

bool Project::is_current(const Machine& machine, SessionWorld& world) {
    const auto st = sys::stat_at(AT_FDCWD, path().c_str());
    // What lives in it has seen them already.
    const bool sockets = world.background || (!shows_sockets(world) && shows_named_sockets(machine, world));
    return sockets && st && *st && (*st)->stx_ino == world.plan.capture.project_inode &&
           sys::device_of(**st) == world.plan.capture.project_device &&
           mask_identities(world.plan) == world.masks;
}

Result<plan::WorldPlan> Project::plan_world(const Machine& machine, const Wanted& wanted) const {
    return plan_project_world(machine, path(), store_.path(), wanted);
}

void Project::expect_release() {
    const std::scoped_lock lock(mutex_);
    ++expected_;
}

void Project::release_done() {
    const std::scoped_lock lock(mutex_);
    --expected_;
    released_.notify_all();
}

bool same_networks(const std::shared_ptr<const NetworkOrder>& a,
                   const std::shared_ptr<const NetworkOrder>& b) {
    if (!a || !b) return a == b;
    // With a veth pair they are the gateway's to change.
    return a->veth == b->veth && a->no_veth == b->no_veth && (a->veth || a->networks == b->networks);
}

bool Project::fits(const SessionWorld& world, const Wanted& wanted) {
    const auto strategy = wanted.capture.value_or(CaptureStrategy::overlay);
    return world.plan.capture_record.primary == strategy && world.network == network_of(wanted) &&
           world.network_name == wanted.network_name && same_networks(world.net, wanted.net) &&
           granted_to(world.net) == granted_to(wanted.net) && (!world.served || world.served->alive()) &&
           world.fs == wanted.fs && world.limits == wanted.limits && world.tcp_ports == wanted.tcp_ports &&
           world.plan.seccomp == wanted.seccomp;
}

// The idle world that fits best: one with background processes before others.
std::unique_ptr<SessionWorld> Project::take_fitting(const Wanted& wanted) {
    std::unique_lock lock(mutex_);
    for (;;) {
        auto best = idle_.end();
        for (auto it = idle_.begin(); it != idle_.end(); ++it) {
            if ((*it)->reserved || !fits(**it, wanted)) continue;
            if (best == idle_.end() || (*it)->background) best = it;
        }
        if (best != idle_.end()) {
            std::unique_ptr<SessionWorld> world = std::move(*best);
            idle_.erase(best);
            lent_.insert(world->id());
            return world;
        }
        if (expected_ == 0) return nullptr;
        released_.wait(lock);
    }
}

std::unique_ptr<SessionWorld> Project::take_standby(const Wanted& wanted) {
    std::unique_lock lock(mutex_);
    // One that is being made is ready before another could be.
    released_.wait(lock, [&] { return !standby_coming_; });
    if (!standby_ || !fits(*standby_, wanted)) return nullptr;
    standby_->standby = false;
    return std::move(standby_);
}

// Nothing else is as good: what somebody wants to go on in is there.
Result<std::unique_ptr<SessionWorld>> Project::take_named(const Wanted& wanted) {
    const std::string& id = wanted.world_id;
    if (wanted.fresh)
        return fail(
            {Errc::conflict, "the policy wants this command to run in a world of its own, not in " + id});
    std::unique_lock lock(mutex_);
    const auto find = [&] {
        return std::ranges::find_if(idle_, [&](const auto& world) { return world->id() == id; });
    };
    auto it = find();
    // One that is about to be released may be it.
    for (; it == idle_.end() && expected_ > 0; it = find()) released_.wait(lock);
    if (it == idle_.end() && lent_.contains(id))
        return fail(
            Error(Errc::conflict, "the world " + id + " runs a command").hint("wait until that has ended"));
    if (it == idle_.end())
        return fail({Errc::not_found, "there is no session world " + id + " in " + printable(path())});
    if (!fits(**it, wanted))
        return fail(
            {Errc::conflict, "the world " + id + " was made for other rules than the policy has now"});
    std::unique_ptr<SessionWorld> world = std::move(*it);
    idle_.erase(it);
    lent_.insert(id);
    return world;
}

bool Project::has_world(const std::string& world_id) {
    return branch(world_id).has_value() || runs(world_id);
}

bool Project::runs(const std::string& world_id) {
    std::unique_lock lock(mutex_);
    const auto is_there = [&] {
        return lent_.contains(world_id) ||
               std::ranges::any_of(idle_, [&](const auto& world) { return world->id() == world_id; });
    };
    // Who looks after an idle world has it for a moment.
    released_.wait_for(lock, std::chrono::seconds(1), [&] { return is_there() || expected_ == 0; });
    return is_there();
}

Project::Lease Project::lend(std::unique_ptr<SessionWorld> world, bool warm) {
    if (world->ports) world->ports->busy(true);
    const std::scoped_lock lock(mutex_);
    lent_.insert(world->id());
    return {std::move(world), warm};
}

void Project::forget(const std::string& world_id) {
    const std::scoped_lock lock(mutex_);
    lent_.erase(world_id);
}

// Of a branch: an idle world that the policy wants otherwise now is no loss, unless something lives in it.
Result<> Project::end_misfit(const Wanted& wanted) {
    std::unique_ptr<SessionWorld> world;
    {
        const std::scoped_lock lock(mutex_);
        const auto it = std::ranges::find_if(idle_, [&](const auto& idle) {
            return idle->id() == wanted.world_id && !idle->background && !fits(*idle, wanted);
        });
        if (it == idle_.end()) return {};
        world = std::move(*it);
        idle_.erase(it);
    }
    world.reset();
    return store_.discard("worlds/" + wanted.world_id);
}

// True: nobody else makes or uses it, and nobody will until forget() or release().
bool Project::claim(const std::string& world_id) {
    std::unique_lock lock(mutex_);
    released_.wait(lock, [&] { return expected_ == 0; });
    const bool idle = std::ranges::any_of(idle_, [&](const auto& world) { return world->id() == world_id; });
    return !idle && lent_.insert(world_id).second;
}

// A branch's world that has ended, or was never there, is made as what it was.
Result<Project::Lease> Project::begin_again(const Machine& machine, const Wanted& wanted,
                                            const Branch& branch) {
    if (branch.is_snapshot())
        return fail(Error(Errc::conflict, branch.id + " is a snapshot: nothing runs in it")
                        .hint("fork it, and run this in the fork"));
    if (wanted.fresh)
        return fail({Errc::conflict,
                     "the policy wants this command to run in a world of its own, not in " + branch.id});
    SUB_TRY_ASSIGN(std::unique_ptr<SessionWorld> world, launch(machine, wanted));
    if (branch.own_line() && world->plan.capture.strategy != CaptureStrategy::overlay) {
        world.reset();
        SUB_TRY(store_.discard("worlds/" + branch.id));
        return fail(Error(Errc::unsupported, "a world with changes of its own needs overlay captures")
                        .hint("substrate world doctor says why there are none"));
    }
    world->reserved = true;
    if (const std::int64_t now = machine.env.realtime_ns(); now - branch.used_ns > kHourNs) {
        Branch used = branch;
        used.used_ns = now;
        SUB_TRY(keep_branch(used));
    }
    return lend(std::move(world), /*warm=*/false);
}

Result<Project::Lease> Project::acquire(const Machine& machine, const Wanted& wanted) {
    if (const auto known = wanted.world_id.empty() ? std::nullopt : branch(wanted.world_id)) {
        SUB_TRY(end_misfit(wanted));
        if (claim(wanted.world_id)) {
            auto begun = begin_again(machine, wanted, *known);
            if (!begun) forget(wanted.world_id);
            return begun;
        }
    }
    if (!wanted.world_id.empty()) {
        SUB_TRY_ASSIGN(std::unique_ptr<SessionWorld> world, take_named(wanted));
        if (is_current(machine, *world)) return lend(std::move(world), /*warm=*/true);
        const std::string id = world->id();
        world.reset();
        forget(id);
        SUB_TRY(store_.discard("worlds/" + id));
        return fail({Errc::conflict, "the world " + id + " shows what is not there any more: it has ended"});
    }
    while (std::unique_ptr<SessionWorld> world = wanted.fresh ? take_standby(wanted) : take_fitting(wanted)) {
        if (is_current(machine, *world)) return lend(std::move(world), /*warm=*/!wanted.fresh);
        // The project's directory is another one now: this world ends here.
        const std::string id = world->id();
        world.reset();
        forget(id);
        SUB_TRY(store_.discard("worlds/" + id));
    }
    SUB_TRY_ASSIGN(std::unique_ptr<SessionWorld> launched, launch(machine, wanted));
    return lend(std::move(launched), /*warm=*/false);
}

Result<std::unique_ptr<SessionWorld>> Project::make_standby(const Machine& machine, const Wanted& wanted) {
    {
        const std::scoped_lock lock(mutex_);
        if (standby_ || standby_coming_) return nullptr;
        standby_coming_ = true;
    }
    auto launched = launch(machine, wanted);
    if (!launched) return launched;
    (*launched)->last_used_ns = machine.env.realtime_ns();
    (*launched)->standby = true;
    return launched;
}

void Project::keep_standby(std::unique_ptr<SessionWorld> world) {
    const std::scoped_lock lock(mutex_);
    standby_coming_ = false;
    standby_ = std::move(world);
    released_.notify_all();
}

Result<std::unique_ptr<SessionWorld>> Project::launch(const Machine& machine, const Wanted& asked) {
    SUB_TRY(plan::check_machine(machine.facts));
    Wanted wanted = asked;
    if (wanted.world_id.empty()) wanted.world_id = make_world_id(machine.env);
    // After the world's lock, a collector does not take its group for a dead world's.
    const bool overlay = wanted.capture.value_or(CaptureStrategy::overlay) == CaptureStrategy::overlay &&
                         machine.facts.overlay.ok;
    SUB_TRY_ASSIGN(Store::MadeWorld made, store_.make_world(wanted.world_id, /*reuse=*/overlay));
    auto world = launch_in(machine, wanted, made);
    if (!world) SUB_TRY(store_.discard("worlds/" + wanted.world_id));
    return world;
}

// The world is planned, and limited, while its init starts. Where that fails `made` is still locked: nobody
// else takes its directory for a dead world's before it is discarded.
Result<std::unique_ptr<SessionWorld>> Project::launch_in(const Machine& machine, const Wanted& wanted,
                                                         Store::MadeWorld& made) {
    world::CgroupGround ground = machine.cgroups;
    if (wanted.caller > 0) ground.movable.push_back(wanted.caller);
    const plan::Limits limits = plan::with_defaults(wanted.limits, machine.facts);
    world::CgroupMaker group_maker(ground, wanted.world_id, limits);
    if (limits.any()) SUB_TRY(group_maker.make_version_2());
    auto group = world::Cgroup::none();  // before the init: that is ended first
    world::InitOptions options = world::init_options_for(machine.facts, machine.init_program);
    options.cgroup_fd = group_maker.v2_fd();
    options.file_limit = machine.file_limit;
    options.low = machine.low_descriptors.get();
    SUB_TRY_ASSIGN_DURING(world::WaitingInit init, world::WaitingInit::start(options), "starting a world");

    const std::uint64_t noted = sockets_noted();
    auto named_sockets = world::look_at_sockets(wanted.fs.sockets, machine.facts.uid);
    SUB_TRY_ASSIGN(plan::WorldPlan plan, plan_world(machine, wanted));
    if (!made.slot.empty() && plan.capture.strategy != CaptureStrategy::overlay)
        return fail({Errc::internal, "a directory for an overlay was taken for another capture"});
    SUB_TRY(store_.note_network(plan.world_id, plan.network_name));
    // fuse-overlayfs is mounted while the world is set up, on this slot only.
    if (plan.capture.strategy == CaptureStrategy::fuse) {
        SUB_TRY_ASSIGN(made.slot, store_.make_slot(plan.world_id, 0, CaptureStrategy::fuse));
    }
    SUB_TRY_ASSIGN(const world::SeccompProgram* filter, machine.seccomp->of(plan.seccomp));
    if (limits.any()) {
        SUB_TRY_ASSIGN(group, group_maker.make_version_1());
    }
    plan.degradations.insert(plan.degradations.end(), group.degradations().begin(),
                             group.degradations().end());
    SUB_TRY_ASSIGN(world::World launched, world::World::set_up(std::move(init), plan, filter, &group));

    auto world = std::make_unique<SessionWorld>(std::move(plan), std::move(group), std::move(launched),
                                                std::move(made.lock), machine.env.realtime_ns());
    world->masks = mask_identities(world->plan);
    world->fs = wanted.fs;
    world->limits = wanted.limits;
    world->tcp_ports = wanted.tcp_ports;
    world->named_sockets = std::move(named_sockets);
    world->sockets_seen = noted;
    world->net = wanted.net;
    world->network = network_of(wanted);
    world->network_name = wanted.network_name;
    // A world that shares the host's network has no ports of its own.
    if (machine.ports && !wanted.host_network) {
        SUB_TRY_ASSIGN(world->ports,
                       PublishedPorts::enter(machine.ports, world->id(), path(), world->world.init()));
    }
    if (!made.slot.empty()) world->adopt_slot(std::move(made.slot));
    return world;
}

void Project::release(std::unique_ptr<SessionWorld> world) {
    if (world->ports) world->ports->busy(world->background);
    const std::scoped_lock lock(mutex_);
    lent_.erase(world->id());
    idle_.push_back(std::move(world));
    released_.notify_all();
}

std::vector<std::unique_ptr<SessionWorld>> Project::take_idle(std::int64_t unused_since_ns) {
    std::vector<std::unique_ptr<SessionWorld>> taken;
    const std::scoped_lock lock(mutex_);
    std::erase_if(idle_, [&](std::unique_ptr<SessionWorld>& world) {
        if (world->last_used_ns > unused_since_ns) return false;
        lent_.insert(world->id());
        taken.push_back(std::move(world));
        return true;
    });
    if (standby_ && standby_->last_used_ns <= unused_since_ns) taken.push_back(std::move(standby_));
    return taken;
}

std::vector<std::unique_ptr<SessionWorld>> Project::take_speaking() {
    std::vector<std::unique_ptr<SessionWorld>> taken;
    const std::scoped_lock lock(mutex_);
    std::erase_if(idle_, [&](std::unique_ptr<SessionWorld>& world) {
        const auto speaks = sys::wait_readable(world->world.event_fd(), 0);
        if (speaks && !*speaks) return false;
        lent_.insert(world->id());
        taken.push_back(std::move(world));
        return true;
    });
    return taken;
}

void Project::serve_doors(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker) {
    std::vector<std::unique_ptr<SessionWorld>> taken;
    {
        const std::int64_t now = machine.env.monotonic_ns();
        const std::scoped_lock lock(mutex_);
        std::erase_if(idle_, [&](std::unique_ptr<SessionWorld>& world) {
            if (!world->door.has_work(now)) return false;
            taken.push_back(std::move(world));
            return true;
        });
        // Who wants one meanwhile is to have it, with what lives in it.
        expected_ += static_cast<int>(taken.size());
    }
    for (auto& world : taken) {
        world->door.serve(machine, trace, broker);
        release(std::move(world));
        release_done();
    }
}

void Project::note_sockets(const std::vector<std::string>& sockets) {
    const std::scoped_lock lock(mutex_);
    sockets_ = sockets;
    ++sockets_noted_;
}

bool Project::shows_sockets(SessionWorld& world) {
    const std::scoped_lock lock(mutex_);
    if (world.sockets_seen == sockets_noted_) return false;
    if (!plan::shown_sockets(world.plan.mounts, world.plan.capture, sockets_).empty()) return true;
    world.sockets_seen = sockets_noted_;
    return false;
}

void Project::for_each_idle(const std::function<void(const SessionWorld&)>& visit) {
    std::unique_lock lock(mutex_);
    // A world whose command has just been answered is idle to whoever asks.
    released_.wait_for(lock, std::chrono::seconds(1), [&] { return expected_ == 0; });
    for (const auto& world : idle_) visit(*world);
    if (standby_) visit(*standby_);
}

}  // namespace substrate::supervisor
