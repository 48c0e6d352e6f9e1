#include "world/cgroup.hpp"

#include <dirent.h>

#include <algorithm>
#include <map>

#include "base/ids.hpp"
#include "sys/cgroup_dir.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "world/cgroup_maker.hpp"

namespace substrate::world {
namespace {

constexpr std::int64_t kPauseUs = 2000;
constexpr int kKillRounds = 1000;   // two seconds
constexpr int kRemoveRounds = 500;  // one second

// nullopt when this kernel or this hierarchy has no such file.
Result<std::optional<std::uint64_t>> number_if_there(int group, const char* file) {
    auto number = sys::read_cgroup_number(group, file);
    if (!number && number.error().os_errno() == ENOENT) return std::optional<std::uint64_t>();
    return number;
}

Result<std::optional<std::uint64_t>> key_if_there(int group, const char* file, std::string_view key) {
    const auto text = sys::read_cgroup_file(group, file);
    if (!text && text.error().os_errno() == ENOENT) return std::optional<std::uint64_t>();
    if (!text) return fail(text.error());
    return sys::cgroup_key(*text, key);
}

// In version 2 of groups below, too.
Result<bool> is_empty(int group, bool unified) {
    if (unified) {
        SUB_TRY_ASSIGN(const auto populated, key_if_there(group, "cgroup.events", "populated"));
        if (populated) return *populated == 0;
    }
    SUB_TRY_ASSIGN(const auto inside, sys::cgroup_processes(group));
    return inside.empty();
}

// What has exited may be counted for a moment longer.
Result<> remove_patiently(int parent, const std::string& name) {
    for (int round = 0;; ++round) {
        auto removed = sys::remove_cgroup_at(parent, name);
        if (removed || removed.error().os_errno() != EBUSY) return removed;
        if (round == kRemoveRounds) return fail(std::move(removed).error().as(Errc::conflict));
        sys::pause_us(kPauseUs);
    }
}

struct Place {
    const CgroupPlace* place;
    bool unified;
};

// Each hierarchy of the ground once.
std::vector<Place> places_of(const CgroupGround& ground) {
    std::vector<Place> places;
    if (ground.unified) places.push_back({&*ground.unified, true});
    for (const auto& place : ground.v1)
        if (place && std::ranges::none_of(places, [&](const Place& known) {
                return known.place->directory == place->directory;
            }))
            places.push_back({&*place, false});
    return places;
}

// Our group and its substrate/; empty descriptors where they are not.
struct Opened {
    sys::UniqueFd own, parent;
};
Result<Opened> open_parent(const Place& place) {
    Opened opened;
    if (place.place->directory.empty()) return opened;
    auto own = sys::open_cgroup(place.place->directory,
                                place.unified ? sys::CgroupVersion::v2 : sys::CgroupVersion::v1);
    if (!own) return opened;  // nothing of ours can be there
    opened.own = *std::move(own);
    auto parent = sys::open_cgroup_at(opened.own.get(), kCgroupParent);
    if (parent) opened.parent = *std::move(parent);
    // EACCES: another account's, with nothing of ours in it.
    else if (const int why = parent.error().os_errno(); why != ENOENT && why != EACCES)
        return fail(std::move(parent).error());
    return opened;
}

}  // namespace

Result<Cgroup> Cgroup::make(const CgroupGround& ground, const std::string& world_id,
                            const plan::Limits& limits) {
    CgroupMaker maker(ground, world_id, limits);
    SUB_TRY(maker.make_version_2());
    return maker.make_version_1();
}

Cgroup::Cgroup(Cgroup&& other) noexcept { *this = std::move(other); }

Cgroup& Cgroup::operator=(Cgroup&& other) noexcept {
    // What was ours goes with `other`.
    std::swap(world_id_, other.world_id_);
    std::swap(keep_parents_, other.keep_parents_);
    std::swap(members_, other.members_);
    std::swap(unified_, other.unified_);
    std::swap(v1_cpu_, other.v1_cpu_);
    std::swap(v1_memory_, other.v1_memory_);
    std::swap(v1_pids_, other.v1_pids_);
    std::swap(held_, other.held_);
    std::swap(degradations_, other.degradations_);
    std::swap(missing_defaults_, other.missing_defaults_);
    return *this;
}

Cgroup::~Cgroup() {
    if (members_.empty()) return;
    (void)kill();
    (void)remove();
}

std::vector<std::string> Cgroup::directories() const {
    std::vector<std::string> all;
    for (const Member& member : members_) all.push_back(member.directory);
    return all;
}

Result<> Cgroup::add(pid_t pid) const {
    for (const Member& member : members_)
        SUB_TRY_DURING(sys::write_cgroup_file(member.group.get(), "cgroup.procs", std::to_string(pid)),
                       "adding a process to '" + member.directory + "'");
    return {};
}

int Cgroup::v2_fd() const { return unified() == nullptr ? -1 : unified()->group.get(); }

std::vector<int> Cgroup::v1_task_fds() const {
    std::vector<int> fds;
    for (const Member& member : members_)
        if (member.tasks) fds.push_back(member.tasks.get());
    return fds;
}

Result<> Cgroup::take_v1_usage(CgroupUsage& usage) const {
    if (v1_memory_ >= 0) {
        const int group = members_[v1_memory_].group.get();
        SUB_TRY_ASSIGN(usage.memory_bytes, number_if_there(group, "memory.usage_in_bytes"));
        SUB_TRY_ASSIGN(usage.memory_peak_bytes, number_if_there(group, "memory.max_usage_in_bytes"));
        SUB_TRY_ASSIGN(usage.oom_kills, key_if_there(group, "memory.oom_control", "oom_kill"));
    }
    if (v1_pids_ >= 0) {
        SUB_TRY_ASSIGN(usage.pids_max_hits,
                       key_if_there(members_[v1_pids_].group.get(), "pids.events", "max"));
    }
    if (v1_cpu_ >= 0 && !usage.cpu_us) {
        // Where both controllers share a hierarchy, which systemd sees to.
        SUB_TRY_ASSIGN(const auto ns, number_if_there(members_[v1_cpu_].group.get(), "cpuacct.usage"));
        if (ns) usage.cpu_us = *ns / 1000;
    }
    return {};
}

Result<CgroupUsage> Cgroup::usage() const {
    CgroupUsage usage;
    if (const Member* member = unified()) {
        const int group = member->group.get();
        SUB_TRY_ASSIGN(usage.memory_bytes, number_if_there(group, "memory.current"));
        SUB_TRY_ASSIGN(usage.memory_peak_bytes, number_if_there(group, "memory.peak"));
        SUB_TRY_ASSIGN(usage.oom_kills, key_if_there(group, "memory.events", "oom_kill"));
        SUB_TRY_ASSIGN(usage.pids_max_hits, key_if_there(group, "pids.events", "max"));
        SUB_TRY_ASSIGN(usage.cpu_us, key_if_there(group, "cpu.stat", "usage_usec"));
    }
    SUB_TRY(take_v1_usage(usage));
    return usage;
}

// True when nobody was left.
Result<bool> Cgroup::kill_once() const {
    bool empty = true;
    for (const Member& member : members_) {
        const int group = member.group.get();
        SUB_TRY_ASSIGN(const bool nobody, is_empty(group, member.unified));
        if (nobody) continue;
        empty = false;
        if (member.unified && sys::cgroup_file_exists(group, "cgroup.kill"))
            SUB_TRY(sys::write_cgroup_file(group, "cgroup.kill", "1"));
        else SUB_TRY(sys::kill_cgroup_processes(group));
    }
    return empty;
}

Result<> Cgroup::kill() {
    for (int round = 0; round < kKillRounds; ++round) {
        auto empty = kill_once();
        if (!empty) return fail(std::move(empty).error().during("ending the processes of " + world_id_));
        if (*empty) return {};
        sys::pause_us(kPauseUs);
    }
    return fail(Error(Errc::unavailable, "processes of " + world_id_ + " do not end though they were killed")
                    .hint("look for processes in state D: ps -eo pid,stat,wchan:32,args"));
}

Result<> Cgroup::remove() {
    while (!members_.empty()) {
        Member& member = members_.back();
        SUB_TRY_DURING(remove_patiently(member.parent.get(), world_id_),
                       "removing '" + member.directory + "'");
        // Others may use it; then it stays.
        if (!keep_parents_) (void)sys::remove_cgroup_at(member.own.get(), kCgroupParent);
        members_.pop_back();
        const int left = static_cast<int>(members_.size());
        for (int* index : {&unified_, &v1_cpu_, &v1_memory_, &v1_pids_})
            if (*index >= left) *index = -1;
    }
    return {};
}

Result<std::vector<CgroupLeftover>> find_leftovers(const CgroupGround& ground) {
    std::map<std::string, bool> empty_by_id;
    for (const Place& place : places_of(ground)) {
        SUB_TRY_ASSIGN(const Opened opened, open_parent(place));
        if (!opened.parent) continue;
        sys::DirectoryReader reader(opened.parent.get());
        for (;;) {
            SUB_TRY_ASSIGN(const auto* entry, reader.next());
            if (entry == nullptr) break;
            if (entry->type != DT_DIR || !is_id(entry->view(), "wld")) continue;
            auto group = sys::open_cgroup_at(opened.parent.get(), entry->name);
            if (!group) continue;  // removed meanwhile
            const auto empty = is_empty(group->get(), place.unified);
            bool& known = empty_by_id.try_emplace(entry->name, true).first->second;
            known = known && empty && *empty;
        }
    }
    std::vector<CgroupLeftover> leftovers;
    for (const auto& [id, empty] : empty_by_id) leftovers.push_back({id, empty});
    return leftovers;
}

Result<> remove_leftover(const CgroupGround& ground, const std::string& world_id) {
    if (!is_id(world_id, "wld")) return fail({Errc::invalid, "'" + world_id + "' is not a world id"});
    for (const Place& place : places_of(ground)) {
        SUB_TRY_ASSIGN(const Opened opened, open_parent(place));
        if (!opened.parent) continue;
        auto removed = sys::remove_cgroup_at(opened.parent.get(), world_id);
        if (!removed && removed.error().os_errno() == EBUSY)
            removed = fail(std::move(removed).error().as(Errc::conflict));
        SUB_TRY_DURING(std::move(removed), "removing the group in '" + place.place->directory + "'");
    }
    return {};
}

Result<> remove_empty_parents(const CgroupGround& ground) {
    for (const Place& place : places_of(ground)) {
        SUB_TRY_ASSIGN(const Opened opened, open_parent(place));
        if (!opened.parent) continue;
        auto removed = sys::remove_cgroup_at(opened.own.get(), kCgroupParent);
        // There are groups in it, or it is another account's.
        if (!removed)
            if (const int why = removed.error().os_errno(); why == EBUSY || why == EACCES || why == EPERM)
                continue;
        SUB_TRY_DURING(std::move(removed), "removing '" + place.place->directory + "/" + kCgroupParent + "'");
    }
    return {};
}

}  // namespace substrate::world
