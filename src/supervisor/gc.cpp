#include "supervisor/gc.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/ids.hpp"
#include "supervisor/branches.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/store.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "world/cgroup.hpp"
#include "world/host_link.hpp"

namespace substrate::supervisor {
namespace {

Result<std::vector<std::string>> names_in(int dir, const std::string& path) {
    SUB_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_at(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    sys::DirectoryReader reader(fd.get());
    std::vector<std::string> names;
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) return names;
        names.emplace_back(entry->name);
    }
}

// One store's collection.
class Collector {
  public:
    Collector(const Env& env, Store& store, GcReport& report, bool dry_run, const GcLimits& limits,
              std::set<std::string>& alive)
        : env_(env), store_(store), report_(report), dry_run_(dry_run), limits_(limits), alive_(alive) {}

    Result<> run() {
        if (!dry_run_) SUB_TRY(finish_interrupted_applies(store_, env_));
        SUB_TRY_ASSIGN(const auto worlds, store_.lock_dead_worlds());
        for (const Store::FoundWorld& world : worlds)
            if (auto done = collect_world(world); !done) note_error("world " + world.id, done.error());
        SUB_TRY(collect_branches());
        SUB_TRY(collect_spans());
        if (!dry_run_) store_.empty_trash();
        return {};
    }

  private:
    void note_error(std::string name, const Error& error) {
        report_.errors.push_back({std::move(name), error.describe()});
    }

    Result<> collect_world(const Store::FoundWorld& world) {
        const std::string dir = "worlds/" + world.id;
        if (!world.dead) {
            report_.kept.push_back({world.id, "its agent lives"});
            alive_.insert(world.id);
            return {};
        }
        const auto slots = names_in(store_.fd(), dir + "/slots");
        if (slots)
            for (const std::string& slot : *slots) SUB_TRY(rescue(world.id, dir + "/slots/" + slot));
        if (const std::string network = store_.noted_network(world.id); !network.empty()) {
            report_.removed.push_back("network " + network);
            if (!dry_run_) SUB_TRY(world::NetworkName::remove(network));
        }
        report_.removed.push_back(store_.path() + "/" + dir);
        return dry_run_ ? Result<>{} : store_.discard(dir);
    }

    // A capture with changes that were never decided about becomes a kept span.
    Result<> rescue(const std::string& world_id, const std::string& slot) {
        SUB_TRY_ASSIGN(const auto mark, store_.marked_capture(slot));
        // Without the mark no command has started in it; what moved to a span is safe there.
        if (!mark || mark->strategy == CaptureStrategy::direct) return {};
        SUB_TRY_ASSIGN(const auto content, sys::stat_at(AT_FDCWD, captured_path(store_, *mark).c_str()));
        if (!content) return {};
        SUB_TRY_ASSIGN(const std::vector<Manifest> all, store_.list());
        auto on_base = captured_on_base(store_, *mark, all);
        Captured captured = on_base ? std::move(*on_base) : captured_from(*mark, all);
        SUB_TRY_ASSIGN(const auto project, sys::stat_at(AT_FDCWD, store_.project().c_str()));
        captured.project_gone = !project;
        SUB_TRY_ASSIGN(const FsDiff diff, diff_captured(store_, captured));
        if (diff.empty()) return {};
        const std::string span_id = make_span_id(env_);
        report_.kept.push_back(
            {span_id, fmt::format("{} changed paths of a world that ended unexpectedly, in '{}'",
                                  diff.files + diff.dirs, store_.project())});
        rescued_.insert(span_id);
        if (dry_run_) return {};
        return keep_captured(store_, env_, captured, span_id, world_id, KeptState::interrupted);
    }

    // Snapshots by age; worlds that nothing is left of; what an interrupted copy has left.
    Result<> collect_branches() {
        // Waits until one that is being made has its record.
        SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(store_.fd()));
        SUB_TRY_ASSIGN(const std::vector<Manifest> all, store_.list());
        SUB_TRY_ASSIGN(const std::vector<Branch> branches, list_branches(store_));
        const std::int64_t oldest = env_.realtime_ns() - limits_.kept_ns;
        std::set<std::string, std::less<>> known;
        for (const Branch& branch : branches) {
            const bool holds = std::ranges::any_of(all, [&](const Manifest& manifest) {
                return manifest.branch == branch.id && manifest.state != KeptState::applied;
            });
            const bool needed = alive_.contains(branch.id) || (holds && !branch.is_snapshot());
            if (needed || std::max(branch.made_ns, branch.used_ns) >= oldest) {
                known.insert(branch.id);
                continue;
            }
            // Its changes go below, as what a copy without a record is.
            report_.removed.push_back(store_.path() + "/" + branch.id);
            if (!dry_run_) SUB_TRY(remove_branch(store_, branch.id));
        }
        for (const Manifest& manifest : all) {
            if (manifest.copied_from.empty() || manifest.state != KeptState::pending ||
                known.contains(manifest.branch))
                continue;
            dropped_.insert(manifest.span_id);
            report_.removed.push_back(store_.path() + "/" + Store::span_dir(manifest.span_id));
            if (!dry_run_) SUB_TRY(store_.drop(manifest));
        }
        return {};
    }

    Result<> collect_spans() {
        SUB_TRY_ASSIGN(const std::vector<Manifest> all, store_.list());
        const std::int64_t oldest = env_.realtime_ns() - limits_.kept_ns;
        std::size_t applied = 0;
        for (auto it = all.rbegin(); it != all.rend(); ++it) {
            if (rescued_.contains(it->span_id) || dropped_.contains(it->span_id)) continue;  // named already
            if (it->state != KeptState::applied) {
                report_.kept.push_back(
                    {it->span_id, std::string(to_string(it->state)) + " changes of " + store_.project()});
                continue;
            }
            if (++applied <= limits_.kept_spans && it->settled_ns >= oldest) continue;
            report_.removed.push_back(store_.path() + "/" + Store::span_dir(it->span_id));
            if (!dry_run_) SUB_TRY(store_.forget(*it));
        }
        return {};
    }

    const Env& env_;
    Store& store_;
    GcReport& report_;
    bool dry_run_;
    const GcLimits& limits_;
    std::set<std::string>& alive_;
    std::set<std::string> rescued_, dropped_;
};

// Groups of worlds whose processes are gone, also of agents with another home: an empty one belongs
// to a world that is just being made, or to none.
void collect_cgroups(const Env& env, GcReport& report, bool dry_run, const std::set<std::string>& alive) {
    constexpr std::int64_t kMakingNs = 60'000'000'000;
    const auto ground = world::find_cgroup_ground();
    const auto found = ground ? world::find_leftovers(*ground)
                              : Result<std::vector<world::CgroupLeftover>>(fail(ground.error()));
    if (!found) return report.errors.push_back({"cgroups", found.error().describe()});
    for (const world::CgroupLeftover& group : *found) {
        const auto made_ns = time_of_id(group.world_id);
        if (!group.empty || alive.contains(group.world_id) || !made_ns ||
            *made_ns + kMakingNs > env.realtime_ns())
            continue;
        const std::string name = "cgroup " + group.world_id;
        if (auto removed = dry_run ? Result<>{} : world::remove_leftover(*ground, group.world_id); !removed)
            report.errors.push_back({name, removed.error().describe()});
        else report.removed.push_back(name);
    }
    if (dry_run) return;
    if (auto removed = world::remove_empty_parents(*ground); !removed)
        report.errors.push_back({"cgroups", removed.error().describe()});
}

}  // namespace

GcReport collect_garbage(const Env& env, const std::vector<std::string>& roots, bool dry_run,
                         const GcLimits& limits) {
    GcReport report;
    std::set<std::string> alive;
    const auto stores = list_stores(roots);
    if (!stores) {
        report.errors.push_back({"stores", stores.error().describe()});
        return report;
    }
    for (const std::string& path : *stores) {
        auto store = Store::open_existing(path);
        if (!store) {
            report.errors.push_back({path, store.error().describe()});
            continue;
        }
        if (auto done = Collector(env, *store, report, dry_run, limits, alive).run(); !done)
            report.errors.push_back({path, done.error().describe()});
    }
    collect_cgroups(env, report, dry_run, alive);
    return report;
}

}  // namespace substrate::supervisor
