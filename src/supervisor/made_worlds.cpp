#include "supervisor/made_worlds.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/idle_worlds.hpp"
#include "sys/file_lock.hpp"

namespace substrate::supervisor {
namespace {

// The world that the next command in `cwd` will want.
Project::Wanted wanted_in(Agent& agent, Project& project, const std::string& cwd) {
    Project::Wanted wanted;
    const auto in_force = agent.broker().in_force(cwd, project.path());
    if (!in_force.set) return wanted;
    wanted.fs = in_force.set->fs_access({.project = project.path(), .home = agent.broker().places().home});
    wanted.host_network = !in_force.set->isolate_network();
    if (wanted.host_network) wanted.tcp_ports = in_force.set->tcp_ports();
    if (agent.machine().network)
        wanted.net = agent.machine().network->order_for(*in_force.set, project.path());
    wanted.limits = plan::limits_of(in_force.set->limits());
    wanted.seccomp = in_force.set->seccomp();
    return wanted;
}

Result<> check_room(Agent& agent, bool snapshot) {
    std::size_t count = 0;
    for (const auto& project : agent.projects()) count += project->count_branches(snapshot);
    if (count < (snapshot ? kMostSnapshots : kMostMadeWorlds)) return {};
    return fail(Error(Errc::conflict,
                      fmt::format("there are {} {} already", count, snapshot ? "snapshots" : "worlds"))
                    .hint("delete some: GET /v1/worlds lists them"));
}

struct Source {
    std::string line;  // whose undecided changes it shows
    std::string cwd;
    std::int64_t base_ns = 0;  // 0: the project as it is
};
Result<Source> source_of(Project& project, const std::string& id) {
    SUB_TRY(project.check_quiet(id));
    const auto known = project.branch(id);
    if (!known) return Source{.line = {}, .cwd = project.path()};
    return Source{
        .line = known->own_line() ? id : std::string(), .cwd = known->cwd, .base_ns = known->base_ns};
}

// Copies what `source` shows to a branch of its own, which is known from then on.
Result<Branch> branch_off(Agent& agent, Project& project, const std::string& source, const MadeFor& made_for,
                          const char* prefix) {
    const Machine& machine = agent.machine();
    SUB_TRY(check_room(agent, std::string_view(prefix) == "snp"));
    if (!machine.facts.overlay.ok)
        return fail(
            Error(Errc::unsupported, "there are no overlay captures here: " + machine.facts.overlay.reason)
                .hint("substrate world doctor"));
    Store& store = project.store();
    // Against commits, and against a collector that would take the copy for a leftover.
    const std::scoped_lock no_commit(project.commit_mutex());
    SUB_TRY_ASSIGN(const sys::FileLock no_collector, sys::FileLock::exclusive(store.fd()));
    SUB_TRY_ASSIGN(const Source from, source_of(project, source));
    const std::int64_t now = machine.env.realtime_ns();
    Branch made{.id = make_id(machine.env, prefix),
                .name = made_for.name,
                .agent_id = made_for.agent_id,
                .cwd = from.cwd,
                .from = source,
                .base_ns = from.base_ns,
                .made_ns = now,
                .used_ns = now};
    if (!made.own_line()) {
        SUB_TRY_ASSIGN(made.base_ns, capture_time(machine, store));
    }
    auto copied = copy_line(store, machine.env, from.line, made);
    if (copied) copied = project.keep_branch(made);
    if (!copied) {
        (void)drop_line(store, made.id);
        return fail(std::move(copied).error().during("copying the changes of " + source));
    }
    return made;
}

}  // namespace

Result<std::string> warm_world(Agent& agent, Project& project, const std::string& cwd,
                               const std::string& world_id) {
    Project::Wanted wanted = wanted_in(agent, project, cwd);
    wanted.world_id = world_id;
    SUB_TRY_ASSIGN(Project::Lease lease, project.acquire(agent.machine(), wanted));
    if (auto ready = lease.world->world.await_ready(); !ready) {
        end_world(agent.machine(), agent.trace(), project, std::move(lease.world));
        return fail(std::move(ready).error());
    }
    prepare_next(agent.machine(), project, *lease.world);
    std::string id = lease.world->id();
    lease.world->last_used_ns = agent.machine().env.realtime_ns();
    project.release(std::move(lease.world));
    return id;
}

Result<Branch> make_world(Agent& agent, const std::string& cwd, const MadeFor& made_for) {
    const Machine& machine = agent.machine();
    SUB_TRY_ASSIGN(const auto project, agent.project(find_project(cwd, machine.facts.home)));
    SUB_TRY(check_room(agent, /*snapshot=*/false));
    const std::int64_t now = machine.env.realtime_ns();
    Branch made{.id = make_world_id(machine.env),
                .name = made_for.name,
                .agent_id = made_for.agent_id,
                .cwd = cwd,
                .from = {},
                .base_ns = 0,
                .made_ns = now,
                .used_ns = now};
    SUB_TRY(project->keep_branch(made));
    if (auto warm = warm_world(agent, *project, cwd, made.id); !warm) {
        (void)project->drop_branch(made.id);
        return fail(std::move(warm).error());
    }
    return made;
}

Result<Branch> fork_world(Agent& agent, Project& project, const std::string& source,
                          const MadeFor& made_for) {
    SUB_TRY_ASSIGN(Branch made, branch_off(agent, project, source, made_for, "wld"));
    const auto make = [&]() -> Result<> {
        SUB_TRY(branch_layers(project.store(), made));
        SUB_TRY(warm_world(agent, project, made.cwd, made.id));
        return {};
    };
    if (auto warm = make(); !warm) {
        // Nobody has used it: what it holds is a copy.
        const std::scoped_lock lock(project.commit_mutex());
        (void)drop_line(project.store(), made.id);
        (void)project.drop_branch(made.id);
        return fail(std::move(warm).error());
    }
    return made;
}

Result<Branch> take_snapshot(Agent& agent, Project& project, const std::string& source,
                             const MadeFor& made_for) {
    return branch_off(agent, project, source, made_for, "snp");
}

Result<> remove_world(Agent& agent, Project& project, const std::string& id) {
    const std::scoped_lock lock(project.commit_mutex());
    SUB_TRY_ASSIGN(const auto all, project.store().list());
    const bool undecided = std::ranges::any_of(all, [&](const Manifest& manifest) {
        return manifest.branch == id && manifest.state != KeptState::applied;
    });
    if (undecided)
        return fail(Error(Errc::conflict, "changes of " + id + " wait for a decision")
                        .hint("apply or discard them first"));
    SUB_TRY(project.check_quiet(id));
    SUB_TRY_ASSIGN(auto world, project.take_out(id));
    if (world) end_world(agent.machine(), agent.trace(), project, std::move(world));
    return project.drop_branch(id);
}

Result<> settle_branch(const Machine& machine, Project& project, const std::string& id, bool applied) {
    auto line = project.own_line(id);
    if (!line) return {};
    SUB_TRY_ASSIGN(const auto all, project.store().list());
    for (const Manifest& manifest : all)
        if (manifest.branch == id && manifest.state != KeptState::applied) return {};
    if (line->is_snapshot()) return project.drop_branch(id);
    if (!applied) return {};
    SUB_TRY_ASSIGN(line->base_ns, capture_time(machine, project.store()));
    return project.keep_branch(*line);
}

}  // namespace substrate::supervisor
