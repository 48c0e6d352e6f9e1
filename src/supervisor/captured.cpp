#include "supervisor/captured.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "base/text.hpp"
#include "capture/copy_walk.hpp"
#include "capture/diff_builder.hpp"
#include "capture/overlay_walk.hpp"
#include "capture/temporaries.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/tree_ops.hpp"
#include "world/path_guard.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

// The descriptors of a capture's directories, open as long as they are used.
struct OpenCapture {
    sys::UniqueFd project;
    sys::UniqueFd source;
    std::vector<sys::UniqueFd> lowers;

    capture::OverlayLayers layers(const Captured& captured) const {
        capture::OverlayLayers layers;
        layers.upper = source.get();
        for (const sys::UniqueFd& lower : lowers) layers.lowers.push_back(lower.get());
        layers.whiteout_files = captured.strategy == CaptureStrategy::fuse;
        if (project) layers.lowers.push_back(project.get());
        layers.xattrs =
            captured.user_xattrs ? capture::XattrNamespace::user : capture::XattrNamespace::trusted;
        return layers;
    }
    capture::CopyTrees trees(const Captured& captured) const {
        return {.work = source.get(),
                .base = project.get(),
                .excluded = captured.excluded,
                .compare_owner = sys::effective_uid() == 0,
                .copied_at_ns = captured.captured_ns};
    }
};

const char* source_name(CaptureStrategy strategy) {
    return strategy == CaptureStrategy::copy_diff ? "tree" : "upper";
}

Result<OpenCapture> open_capture(const Store& store, const Captured& captured) {
    OpenCapture open;
    if (!captured.project_gone) {
        SUB_TRY_ASSIGN(open.project, sys::open_path(store.project(), kDirectory));
    }
    if (captured.strategy == CaptureStrategy::direct) return open;
    SUB_TRY_ASSIGN(open.source,
                   sys::open_at(store.fd(), captured.dir + "/" + source_name(captured.strategy), kDirectory));
    for (const std::string& lower : captured.lowers) {
        SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_at(store.fd(), lower, kDirectory));
        open.lowers.push_back(std::move(fd));
    }
    return open;
}

Result<> walk(const OpenCapture& open, const Captured& captured, const capture::ChangeSink& sink) {
    switch (captured.strategy) {
        case CaptureStrategy::overlay:
        case CaptureStrategy::fuse: return capture::walk_overlay(open.layers(captured), sink);
        case CaptureStrategy::copy_diff: return capture::walk_copy(open.trees(captured), sink);
        case CaptureStrategy::direct:
            if (captured.before == nullptr) return {};
            return captured.before->compare(open.project.get(), sink);
    }
    return {};
}

Manifest manifest_of(const Store& store, const Env& env, const Captured& captured, const std::string& span_id,
                     const std::string& world_id, KeptState state) {
    Manifest manifest{.span_id = span_id,
                      .project = store.project(),
                      .world_id = world_id,
                      .state = state,
                      .strategy = captured.strategy,
                      .user_xattrs = captured.user_xattrs,
                      .captured_ns = captured.captured_ns,
                      .settled_ns = env.realtime_ns(),
                      .before_ns = {},
                      .dir = captured.dir,
                      .excluded = captured.excluded,
                      .branch = captured.branch,
                      .base_ns = captured.base_ns,
                      .copied_from = {}};
    if (auto earlier = store.load(span_id); earlier && *earlier) {
        manifest.before_ns = std::move((*earlier)->before_ns);
        manifest.copied_from = std::move((*earlier)->copied_from);
    }
    return manifest;
}

std::vector<std::string> conflict_notices(const capture::ApplyReport& report) {
    std::vector<std::string> notices;
    const bool held = std::ranges::any_of(report.conflicts, [](const capture::PathNote& note) {
        return note.reason == capture::kNotPermitted;
    });
    notices.push_back(
        fmt::format("{} of the changed paths {}; nothing was applied", report.conflict_count,
                    held ? "may not be changed, or also changed on the host" : "also changed on the host"));
    constexpr std::size_t kShown = 5;
    for (std::size_t i = 0; i < std::min(kShown, report.conflicts.size()); ++i)
        notices.push_back(fmt::format("  conflict: {} ({})", printable(report.conflicts[i].path),
                                      report.conflicts[i].reason));
    if (report.conflict_count > kShown)
        notices.push_back(fmt::format("  and {} more", report.conflict_count - kShown));
    return notices;
}

std::string before_dir(const std::string& span_id, std::size_t number) {
    return Store::span_dir(span_id) + "/before" + (number == 0 ? "" : "." + std::to_string(number));
}

// A directory for the previous content that nothing is in yet: an interrupted
// apply has left its own. Returns its number.
Result<std::size_t> make_before(Store& store, const std::string& span_id) {
    for (std::size_t number = 0;; ++number) {
        auto made = sys::make_dir_at(store.fd(), before_dir(span_id, number).c_str(), 0700);
        if (made) return number;
        if (made.error().os_errno() != EEXIST) return fail(std::move(made).error());
    }
}

}  // namespace

Result<FsDiff> diff_captured(const Store& store, const Captured& captured) {
    SUB_TRY_ASSIGN(const OpenCapture open, open_capture(store, captured));
    capture::DiffBuilder builder(
        {}, captured.user_xattrs ? capture::XattrNamespace::user : capture::XattrNamespace::trusted);
    SUB_TRY_DURING(walk(open, captured, [&](const capture::Change& change) { return builder.add(change); }),
                   "comparing the capture with '" + printable(store.project()) + "'");
    return builder.finish();
}

Result<> collect_paths(const Store& store, const Captured& captured,
                       std::set<std::string, std::less<>>& paths) {
    SUB_TRY_ASSIGN(const OpenCapture open, open_capture(store, captured));
    return walk(open, captured, [&](const capture::Change& change) -> Result<> {
        paths.emplace(change.path);
        return {};
    });
}

Result<> keep_captured(Store& store, const Env& env, const Captured& captured, const std::string& span_id,
                       const std::string& world_id, KeptState state) {
    const std::string dir = Store::span_dir(span_id);
    // The manifest first: a directory without one would belong to nobody.
    Manifest manifest = manifest_of(store, env, captured, span_id, world_id, state);
    manifest.dir = dir;
    SUB_TRY(store.save(manifest));
    if (captured.dir == dir) return {};
    return sys::rename_at(store.fd(), (captured.dir + "/" + source_name(captured.strategy)).c_str(),
                          store.fd(), (dir + "/" + source_name(captured.strategy)).c_str());
}

capture::Permits permits_of(const plan::WorldPlan& plan) {
    if (plan.guard == plan::GuardPlan{}) return {};
    auto made = world::PathGuard::make(plan);
    // The same patterns have been compiled in the world.
    if (!made) return [](std::string_view, bool) { return false; };
    auto guard = std::make_shared<const world::PathGuard>(std::move(*made));
    return [guard, project = plan.capture.project.str()](std::string_view path, bool directory) {
        const auto use = directory ? world::PathUse::make_directory : world::PathUse::write;
        return !guard->denies(project + "/" + std::string(path), use);
    };
}

namespace {

capture::ApplyRequest request_of(const OpenCapture& open, const Captured& captured,
                                 const std::string& span_id, bool movable) {
    capture::ApplyRequest request;
    request.project = open.project.get();
    if (captured.strategy == CaptureStrategy::copy_diff) request.source = open.trees(captured);
    else request.source = open.layers(captured);
    // A file that has left a copy of the project would look removed to whoever
    // completes this after a crash.
    request.movable = movable && captured.strategy != CaptureStrategy::copy_diff;
    request.unchanged_since_ns =
        captured.forced ? std::numeric_limits<std::int64_t>::max() : captured.captured_ns;
    request.temporary_prefix = ".substrate-apply." + span_id + ".";
    request.keep_owner = sys::effective_uid() == 0;
    request.ours = captured.ours;
    request.permits = captured.permits;
    return request;
}

}  // namespace

Result<CommitReport> apply_captured(Store& store, const Env& env, const Captured& captured,
                                    const std::string& span_id, const std::string& world_id, bool movable,
                                    const std::vector<std::string>& only) {
    const std::string span_dir = Store::span_dir(span_id);
    // Against a collector that would complete what it takes for interrupted.
    SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(store.fd()));
    Manifest manifest = manifest_of(store, env, captured, span_id, world_id, KeptState::applying);
    SUB_TRY(store.save(manifest));
    SUB_TRY_ASSIGN(const std::size_t before_number, make_before(store, span_id));
    const std::string before = before_dir(span_id, before_number);
    SUB_TRY_ASSIGN(const sys::UniqueFd before_fd, sys::open_at(store.fd(), before, kDirectory));
    SUB_TRY_ASSIGN(const OpenCapture open, open_capture(store, captured));

    SUB_TRY_ASSIGN(const sys::UniqueFd journal, sys::open_at(store.fd(), span_dir, kDirectory));
    capture::ApplyRequest request = request_of(open, captured, span_id, movable);
    request.journal_dir = journal.get();
    request.before_dir = before_fd.get();
    request.only = only;
    const auto settle = [&] {
        return capture::settle_temporaries(request.project, open.source.get(), journal.get(),
                                           request.temporary_prefix);
    };
    SUB_TRY_DURING(settle(), "clearing up after an earlier attempt");
    auto applied = capture::apply_changes(request);

    CommitReport report;
    // What stays undecided may have reached the host in part.
    const auto keep = [&](KeptState state) -> Result<> {
        const bool nothing = sys::remove_dir_at(store.fd(), before.c_str()).has_value();
        const std::size_t parts = before_number + (nothing ? 0 : 1);
        if (manifest.before_ns.size() < parts) {
            manifest.before_ns.resize(parts, env.realtime_ns());
            SUB_TRY(store.save(manifest));
        }
        if (movable) return keep_captured(store, env, captured, span_id, world_id, state);
        manifest.state = state;
        return store.save(manifest);
    };
    if (!applied) {
        SUB_TRY(keep(KeptState::pending));
        return fail(std::move(applied).error().during("applying " + span_id));
    }
    for (const capture::PathNote& note : applied->skipped)
        report.notices.push_back(fmt::format("not applied: {} ({})", printable(note.path), note.reason));
    if (applied->previous_incomplete) SUB_TRY(store.forget_until(env.realtime_ns()));
    switch (applied->outcome) {
        case capture::ApplyOutcome::applied: break;
        case capture::ApplyOutcome::conflicts:
            SUB_TRY(keep(KeptState::conflict));
            report.state = "conflict";
            report.notices = conflict_notices(*applied);
            return report;
        case capture::ApplyOutcome::rolled_back:
        case capture::ApplyOutcome::partly_applied:
            if (auto settled = settle(); !settled) report.notices.push_back(settled.error().describe());
            SUB_TRY(keep(KeptState::pending));
            report.state = "pending";
            report.notices.push_back(fmt::format("the change could not be applied: {}", applied->failure));
            for (const capture::PathNote& note : applied->unrestored)
                report.notices.push_back(
                    fmt::format("  not put back: {} ({}); its previous content is in {}/{}",
                                printable(note.path), note.reason, printable(store.path()), before));
            return report;
    }
    report.state = "applied";
    if (!only.empty()) {
        SUB_TRY(keep(KeptState::pending));
        return report;
    }
    manifest.state = KeptState::applied;
    manifest.settled_ns = env.realtime_ns();
    if (before_number > 0) manifest.before_ns.resize(before_number + 1, manifest.settled_ns);
    SUB_TRY(store.save(manifest));
    if (movable && captured.dir == span_dir)
        SUB_TRY(store.discard(span_dir + "/" + source_name(captured.strategy)));
    return report;
}

Result<> note_direct_change(Store& store, const Env& env, const Captured& captured,
                            const std::string& span_id, const std::string& world_id) {
    Manifest manifest = manifest_of(store, env, captured, span_id, world_id, KeptState::applied);
    manifest.dir.clear();
    return store.save(manifest);
}

Result<> mark_captured(Store& store, const Env& env, const Captured& captured, const std::string& span_id,
                       const std::string& world_id) {
    return store.mark_capture(manifest_of(store, env, captured, span_id, world_id, KeptState::interrupted));
}

Captured captured_from(const Manifest& manifest, const std::vector<Manifest>& all) {
    Captured captured;
    captured.dir = manifest.dir;
    captured.strategy = manifest.strategy;
    captured.user_xattrs = manifest.user_xattrs;
    captured.captured_ns = manifest.captured_ns;
    captured.excluded = manifest.excluded;
    captured.branch = manifest.branch;
    captured.base_ns = manifest.base_ns;
    // Only overlay commands see pending changes, and only those of overlay commands.
    if (manifest.strategy != CaptureStrategy::overlay) return captured;
    for (const Manifest& other : all)
        if (other.state == KeptState::pending && other.branch == manifest.branch &&
            std::pair(other.captured_ns, other.span_id) < std::pair(manifest.captured_ns, manifest.span_id) &&
            other.strategy == CaptureStrategy::overlay)
            captured.lowers.insert(captured.lowers.begin(), other.dir + "/upper");
    return captured;
}

Result<Captured> captured_on_base(const Store& store, const Manifest& manifest,
                                  const std::vector<Manifest>& all) {
    Captured captured = captured_from(manifest, all);
    if (captured.base_ns == 0) return captured;
    SUB_TRY_ASSIGN(auto base, base_layers(store, captured.branch, captured.base_ns));
    captured.lowers.insert(captured.lowers.end(), std::make_move_iterator(base.begin()),
                           std::make_move_iterator(base.end()));
    return captured;
}

std::string captured_path(const Store& store, const Manifest& manifest) {
    return store.path() + "/" + manifest.dir + "/" + source_name(manifest.strategy);
}

Result<> finish_interrupted_applies(Store& store, const Env& env) {
    std::vector<Manifest> all;
    {
        // Waits until an apply that is under way has reached its end.
        SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(store.fd()));
        SUB_TRY_ASSIGN(all, store.list());
    }
    SUB_TRY_ASSIGN(const auto project, sys::stat_at(AT_FDCWD, store.project().c_str()));
    for (const Manifest& manifest : all) {
        if (manifest.state != KeptState::applying) continue;
        Captured captured = captured_from(manifest, all);
        if (!project) {
            SUB_TRY(keep_captured(store, env, captured, manifest.span_id, manifest.world_id,
                                  KeptState::interrupted));
            continue;
        }
        // The check was passed before the crash, and what has been written since
        // then was written by us.
        captured.forced = true;
        SUB_TRY(apply_captured(store, env, captured, manifest.span_id, manifest.world_id, /*movable=*/true));
    }
    return {};
}

Result<std::vector<std::string>> base_layers(const Store& store, const std::string& branch,
                                             std::int64_t base_ns) {
    std::string why;
    SUB_TRY_ASSIGN(auto layers, layers_back_to(store, base_ns, why, branch));
    if (layers) return std::move(*layers);
    return fail(Error(Errc::conflict,
                      "the project can no longer be shown as it was when " + branch + " was made: " + why)
                    .hint("apply its changes with force, or discard them"));
}

Result<std::optional<std::vector<std::string>>> layers_back_to(const Store& store, std::int64_t time_ns,
                                                               std::string& why, std::string_view but_for) {
    SUB_TRY_ASSIGN(const std::vector<Manifest> all, store.list());
    if (store.forgotten_until_ns() >= time_ns) {
        why = "the previous content of a later change is no longer kept";
        return std::optional<std::vector<std::string>>();
    }
    std::vector<std::pair<std::int64_t, std::string>> found;
    for (const Manifest& manifest : all) {
        const bool applied = manifest.state == KeptState::applied;
        if (!applied && manifest.before_ns.empty()) continue;  // nothing of it is on the host
        if (applied && manifest.settled_ns < time_ns) continue;
        if (!but_for.empty() && manifest.branch == but_for) continue;
        if (manifest.strategy == CaptureStrategy::direct) {
            why = manifest.span_id + " changed the project directly";
            return std::optional<std::vector<std::string>>();
        }
        for (std::size_t number = 0;; ++number) {
            const std::string name = before_dir(manifest.span_id, number);
            SUB_TRY_ASSIGN(const auto st, sys::stat_at(store.fd(), name.c_str()));
            if (!st && number > 0) break;
            if (!st) {
                why = "the previous content of " + manifest.span_id + " is no longer kept";
                return std::optional<std::vector<std::string>>();
            }
            const std::int64_t time =
                number < manifest.before_ns.size() ? manifest.before_ns[number] : manifest.settled_ns;
            if (time >= time_ns) found.emplace_back(time, name);
        }
    }
    // The oldest on top; of one time, in the order in which they were made.
    std::ranges::stable_sort(found, {}, &std::pair<std::int64_t, std::string>::first);
    std::vector<std::string> layers;
    for (auto& [time, name] : found) layers.push_back(std::move(name));
    constexpr std::size_t kMaxLayers = 400;  // overlayfs takes 500
    if (layers.size() > kMaxLayers) {
        why = fmt::format("{} later changes lie in between", layers.size());
        return std::optional<std::vector<std::string>>();
    }
    return std::optional(std::move(layers));
}

}  // namespace substrate::supervisor
