#include "supervisor/idle_worlds.hpp"

#include "base/ids.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/span_facts.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {

// What changes on the host from now on conflicts with the capture. File stamps
// of older kernels are those of the last clock tick: an edit just before would
// seem to come after its own tick's stamp, so there the exact clock is taken,
// and an edit in the rest of the tick is not noticed (its content is kept all the same).
Result<std::int64_t> capture_time(const Machine& machine, const Store& store,
                                  const std::optional<Branch>& own_line) {
    if (own_line) return own_line->base_ns;
    if (machine.facts.kernel_at_least(6, 13)) return sys::stamp_now(store.fd());
    return machine.env.realtime_ns();
}

// What is not in a copy that was made for an earlier command.
Result<std::vector<std::string>> excluded_from(const Store& store, const std::string& slot) {
    SUB_TRY_ASSIGN(auto mark, store.marked_capture(slot));
    return mark ? std::move(mark->excluded) : std::vector<std::string>();
}

void prepare_next(const Machine& machine, Project& project, SessionWorld& idle) {
    idle.marked = {};
    // Other captures are made when their command is known.
    if (idle.plan.capture.strategy != CaptureStrategy::overlay) {
        (void)idle.world.prepare({});
        return;
    }
    Captured next;
    next.strategy = idle.plan.capture.strategy;
    next.user_xattrs = idle.plan.capture.user_xattrs;
    const auto slot = idle.prepare_slot(project.store());
    if (!slot || !project.store().take_on_project_root(*slot, next.strategy)) return;
    next.dir = *slot;
    const auto own_line = project.own_line(idle.id());
    auto layers = project.layers_for(idle.id());
    if (!layers) return;
    next.lowers = std::move(*layers);
    if (own_line) next.branch = own_line->id;
    if (own_line) next.base_ns = own_line->base_ns;
    const world::CaptureSlot prepared{next.dir, next.lowers};
    (void)idle.world.prepare(prepared);
    // The time of the mark is before the command's: what changes on the host between
    // the two would be a conflict after a crash, never a loss.
    const auto now = capture_time(machine, project.store(), own_line);
    if (!now) return;
    next.captured_ns = *now;
    if (mark_captured(project.store(), machine.env, next, make_span_id(machine.env), idle.id()))
        idle.marked = prepared;
}

void prepare_standby(const Machine& machine, trace::TraceWriter& trace, Project& project,
                     const Project::Wanted& wanted) {
    // The others are made for one command's capture.
    if (!machine.standby || wanted.capture.value_or(CaptureStrategy::overlay) != CaptureStrategy::overlay)
        return;
    // A name is for one world.
    Project::Wanted next = wanted;
    next.network_name.clear();
    auto made = project.make_standby(machine, next);
    if (made && !*made) return;
    std::unique_ptr<SessionWorld> world = made ? std::move(*made) : nullptr;
    const bool overlay = world && world->plan.capture.strategy == CaptureStrategy::overlay;
    if (overlay && world->world.await_ready()) prepare_next(machine, project, *world);
    else if (world) end_world(machine, trace, project, std::move(world));
    project.keep_standby(std::move(world));
}

Result<> settle_background(const Machine& machine, trace::TraceWriter& trace, Project& project,
                           SessionWorld& world) {
    if (!world.background) return {};
    world.background = false;
    Captured captured;
    captured.dir = world.live_slot;
    captured.strategy = world.plan.capture.strategy;
    captured.user_xattrs = world.plan.capture.user_xattrs;
    captured.captured_ns = world.live_since_ns;
    captured.permits = permits_of(world.plan);
    if (captured.strategy == CaptureStrategy::direct) return {};
    SUB_TRY_ASSIGN(captured.excluded, excluded_from(project.store(), captured.dir));
    const auto own_line = project.own_line(world.id());
    if (own_line) {
        captured.branch = own_line->id;
        captured.base_ns = own_line->base_ns;
        SUB_TRY_ASSIGN(captured.lowers, project.layers_for(world.id()));
    }
    SUB_TRY_ASSIGN(const FsDiff diff, diff_captured(project.store(), captured));
    if (!diff.empty()) {
        const std::scoped_lock lock(project.commit_mutex());
        const std::string settled = make_span_id(machine.env);
        CommitReport report{.state = "pending", .notices = {}};
        if (own_line) {
            SUB_TRY(keep_captured(project.store(), machine.env, captured, settled, world.id(),
                                  KeptState::pending));
        } else {
            SUB_TRY_ASSIGN(report, apply_captured(project.store(), machine.env, captured, settled, world.id(),
                                                  /*movable=*/true));
        }
        SUB_TRY(trace.append(settled_event(machine, project, world, settled, diff, report.state)));
    }
    return world.retire_slot(project.store(), captured.dir);
}

void settle_quiet_worlds(const Machine& machine, trace::TraceWriter& trace, Project& project) {
    for (auto& world : project.take_speaking()) {
        const auto event = world->world.receive();
        if (!event) {
            end_world(machine, trace, project, std::move(world));
            continue;
        }
        if (auto settled = settle_background(machine, trace, project, *world); !settled)
            (void)trace.append(warning_event(
                machine, project,
                "background changes of " + world->id() + " were not settled: " + settled.error().describe()));
        project.release(std::move(world));
    }
}

void end_world(const Machine& machine, trace::TraceWriter& trace, Project& project,
               std::unique_ptr<SessionWorld> world) {
    const std::string id = world->id();
    // The processes first: only then is the capture what it will stay.
    world->world = world::World::ended();
    world->door.shut(machine, trace);
    if (auto settled = settle_background(machine, trace, project, *world); !settled)
        (void)trace.append(warning_event(
            machine, project,
            "background changes of " + id + " were not settled: " + settled.error().describe()));
    // Its directories serve the next world if its only capture is empty.
    const std::string slot = world->unused_slot();
    world.reset();
    project.forget(id);
    if (auto removed = project.store().keep_spare(id, slot); !removed)
        (void)trace.append(warning_event(
            machine, project, "world " + id + " left its directory: " + removed.error().describe()));
}

}  // namespace substrate::supervisor
