#include "world/cgroup_maker.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/ids.hpp"
#include "sys/cgroup_dir.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"

namespace substrate::world {
namespace {

constexpr const char* kDelegateUser = "systemd-run --user --scope -p Delegate=yes substrate …";
constexpr const char* kDelegateRoot = "systemd-run --scope -p Delegate=yes substrate …";
constexpr const char* kDelegateV1 =
    "boot with systemd.unified_cgroup_hierarchy=1, then systemd-run --user --scope -p Delegate=yes "
    "substrate …";

// Words separated by spaces.
bool has_word(std::string_view text, std::string_view word) {
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string_view::npos; ++at) {
        const std::size_t end = at + word.size();
        const bool begins = at == 0 || text[at - 1] == ' ';
        if (begins && (end == text.size() || text[end] == ' ' || text[end] == '\n')) return true;
    }
    return false;
}

// Writes a limit and looks whether the kernel has taken it: it may keep less, not more.
Result<> set_limit(int group, const char* file, std::uint64_t limit) {
    SUB_TRY(sys::write_cgroup_file(group, file, std::to_string(limit)));
    SUB_TRY_ASSIGN(const auto kept, sys::read_cgroup_number(group, file));
    if (!kept || *kept > limit)
        return fail({Errc::unsupported, std::string(file) + " says " +
                                            (kept ? std::to_string(*kept) : "max") + " after " +
                                            std::to_string(limit) + " was written"});
    return {};
}

// The same for one block device, "MAJOR:MINOR"; a device that has gone needs none.
Result<> set_device_limit(int group, const char* file, const std::string& device, const std::string& value) {
    auto written = sys::write_cgroup_file(group, file, device + value);
    if (!written && written.error().os_errno() == ENODEV) return {};
    if (!written) return written;
    SUB_TRY_ASSIGN(const std::string kept, sys::read_cgroup_file(group, file));
    if (kept.starts_with(device + " ") || kept.contains("\n" + device + " ")) return {};
    return fail({Errc::unsupported, std::string(file) + " does not keep a limit for " + device});
}

// Whole ones with something on them: what groups can limit. See sysfs-block.
Result<std::vector<std::string>> block_devices() {
    std::vector<std::string> devices;
    SUB_TRY_ASSIGN(const sys::UniqueFd directory, sys::open_path("/sys/block", O_RDONLY | O_DIRECTORY));
    sys::DirectoryReader reader(directory.get());
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) break;
        const std::string path = std::string("/sys/block/") + entry->name;
        const auto size = sys::read_file(path + "/size");
        auto number = sys::read_file(path + "/dev");
        if (!size || !number || *size == "0\n") continue;
        while (number->ends_with('\n')) number->pop_back();
        devices.push_back(*std::move(number));
    }
    std::ranges::sort(devices);
    return devices;
}

// Whether pages can go anywhere at all. See proc_swaps(5).
bool host_has_swap() {
    const auto swaps = sys::read_file("/proc/swaps");
    return !swaps || std::ranges::count(*swaps, '\n') > 1;
}

}  // namespace

std::string CgroupMaker::group_below(const CgroupPlace& place) const {
    return place.directory + "/" + kCgroupParent + "/" + cgroup_.world_id_;
}

// Another process may remove substrate/ while it is empty, so that is made again.
Result<Cgroup::Member> CgroupMaker::make_member(const CgroupPlace& place, bool unified) const {
    if (place.directory.empty()) return fail({Errc::unsupported, place.problem});
    if (place.read_only) return fail({Errc::denied, "'" + place.directory + "' is mounted read-only"});
    Member member;
    member.unified = unified;
    member.directory = group_below(place);
    const auto context = [&](Error error) {
        return fail(std::move(error).during("making '" + member.directory + "'"));
    };
    auto own = sys::open_cgroup(place.directory, unified ? sys::CgroupVersion::v2 : sys::CgroupVersion::v1);
    if (!own) return context(std::move(own).error());
    member.own = *std::move(own);
    for (int attempt = 0;; ++attempt) {
        if (auto made = sys::make_cgroup_at(member.own.get(), kCgroupParent);
            !made && made.error().os_errno() != EEXIST)
            return context(std::move(made).error());
        auto parent = sys::open_cgroup_at(member.own.get(), kCgroupParent);
        auto made = parent ? sys::make_cgroup_at(parent->get(), cgroup_.world_id_) : Result<>();
        const int os_errno = !parent ? parent.error().os_errno() : !made ? made.error().os_errno() : 0;
        if ((os_errno == ENOENT || os_errno == ENODEV) && attempt < 16) continue;
        if (!parent) return context(std::move(parent).error());
        if (os_errno == EEXIST) return context(std::move(made).error().as(Errc::conflict));
        if (!made) return context(std::move(made).error());
        member.parent = *std::move(parent);
        break;
    }
    auto group = sys::open_cgroup_at(member.parent.get(), cgroup_.world_id_);
    if (group) {
        member.group = *std::move(group);
        if (unified) return member;
        auto tasks = sys::open_at(member.group.get(), "tasks", O_WRONLY);
        if (tasks) {
            member.tasks = *std::move(tasks);
            return member;
        }
        group = fail(std::move(tasks).error());
    }
    (void)sys::remove_cgroup_at(member.parent.get(), cgroup_.world_id_);
    return context(std::move(group).error());
}

Result<> CgroupMaker::step_aside(const Member& member) const {
    SUB_TRY_ASSIGN(const auto inside, sys::cgroup_processes(member.own.get()));
    if (inside.empty()) return {};
    for (const pid_t pid : inside)
        if (std::ranges::find(ground_.movable, pid) == ground_.movable.end())
            return fail(
                {Errc::conflict, "other processes live in our group, such as pid " + std::to_string(pid) +
                                     ", and cgroup v2 shares out controllers only from a group without any"});
    if (auto made = sys::make_cgroup_at(member.parent.get(), kCgroupAgentLeaf);
        !made && made.error().os_errno() != EEXIST)
        return made;
    SUB_TRY_ASSIGN(const sys::UniqueFd leaf, sys::open_cgroup_at(member.parent.get(), kCgroupAgentLeaf));
    for (const pid_t pid : inside) {
        auto moved = sys::write_cgroup_file(leaf.get(), "cgroup.procs", std::to_string(pid));
        if (!moved && moved.error().os_errno() != ESRCH) return moved;  // it has ended meanwhile
    }
    return {};
}

// A controller works in a group when each group above has it in cgroup.subtree_control.
Result<> CgroupMaker::share_out(CgroupController controller) {
    const Member& member = cgroup_.members_[cgroup_.unified_];
    const std::string name = to_string(controller);
    SUB_TRY_ASSIGN(const std::string available,
                   sys::read_cgroup_file(member.own.get(), "cgroup.controllers"));
    if (!has_word(available, name))
        return fail({Errc::unsupported,
                     "the " + name + " controller is not delegated to '" + ground_.unified->directory + "'"});
    const auto share = [&](int group) -> Result<> {
        SUB_TRY_ASSIGN(const std::string shared, sys::read_cgroup_file(group, "cgroup.subtree_control"));
        if (has_word(shared, name)) return {};
        // Looked at before writing: cpu and pids are shared out beside processes, too, and the
        // groups below are then of the type "domain invalid", which nobody can live in.
        // The root of all is exempt; it is the one without a type.
        if (group == member.own.get() && sys::cgroup_file_exists(group, "cgroup.type"))
            SUB_TRY(step_aside(member));
        return sys::write_cgroup_file(group, "cgroup.subtree_control", "+" + name);
    };
    SUB_TRY_DURING(share(member.own.get()), "sharing out from '" + ground_.unified->directory + "'");
    SUB_TRY_DURING(share(member.parent.get()), std::string("sharing out from ") + kCgroupParent);
    return {};
}

Result<int> CgroupMaker::member_for(CgroupController controller) {
    if (const auto& place = ground_.of(controller)) {
        // One hierarchy may have several controllers.
        for (std::size_t i = 0; i < cgroup_.members_.size(); ++i)
            if (cgroup_.members_[i].directory == group_below(*place)) return static_cast<int>(i);
        SUB_TRY_ASSIGN(Member made, make_member(*place, /*unified=*/false));
        cgroup_.members_.push_back(std::move(made));
        return static_cast<int>(cgroup_.members_.size()) - 1;
    }
    if (!ground_.unified) return fail({Errc::unsupported, "no cgroup file system is mounted"});
    if (cgroup_.unified_ < 0) return fail(*unified_problem_);
    SUB_TRY(share_out(controller));
    return cgroup_.unified_;
}

// A quota of less than a millisecond is refused (sched-bwc.rst), so small shares get the
// longest period there is.
Result<> CgroupMaker::limit_cpu() {
    SUB_TRY_ASSIGN(const int index, member_for(CgroupController::cpu));
    const Member& member = cgroup_.members_[index];
    const std::uint64_t period_us = limits_.cpu_millis < 10 ? 1'000'000 : 100'000;
    const std::uint64_t quota_us = limits_.cpu_millis * period_us / 1000;
    if (!member.unified) {
        cgroup_.v1_cpu_ = index;
        SUB_TRY(sys::write_cgroup_file(member.group.get(), "cpu.cfs_period_us", std::to_string(period_us)));
        return set_limit(member.group.get(), "cpu.cfs_quota_us", quota_us);
    }
    const std::string value = std::to_string(quota_us) + " " + std::to_string(period_us);
    SUB_TRY(sys::write_cgroup_file(member.group.get(), "cpu.max", value));
    SUB_TRY_ASSIGN(const std::string kept, sys::read_cgroup_file(member.group.get(), "cpu.max"));
    if (kept != value + "\n") return fail({Errc::unsupported, "cpu.max says " + kept});
    return {};
}

Result<> CgroupMaker::limit_memory() {
    SUB_TRY_ASSIGN(memory_, member_for(CgroupController::memory));
    const Member& member = cgroup_.members_[memory_];
    if (!member.unified) {
        cgroup_.v1_memory_ = memory_;
        return set_limit(member.group.get(), "memory.limit_in_bytes", limits_.memory_bytes);
    }
    if (limits_.out_of_memory_ends_all)
        SUB_TRY(sys::write_cgroup_file(member.group.get(), "memory.oom.group", "1"));
    return set_limit(member.group.get(), "memory.max", limits_.memory_bytes);
}

// After the limit on memory: version 1 counts both together, and refuses less than that.
Result<> CgroupMaker::limit_swap() {
    const Member& member = cgroup_.members_[memory_];
    const char* file = member.unified ? "memory.swap.max" : "memory.memsw.limit_in_bytes";
    if (!sys::cgroup_file_exists(member.group.get(), file)) {
        if (!host_has_swap()) return {};
        return fail(Error(Errc::unsupported, "this kernel does not count swap by group")
                        .hint("boot with swapaccount=1"));
    }
    std::uint64_t limit = limits_.swap_bytes;
    if (!member.unified && __builtin_add_overflow(limit, limits_.memory_bytes, &limit)) return {};
    return set_limit(member.group.get(), file, limit);
}

Result<> CgroupMaker::limit_pids() {
    SUB_TRY_ASSIGN(const int index, member_for(CgroupController::pids));
    const Member& member = cgroup_.members_[index];
    if (!member.unified) cgroup_.v1_pids_ = index;
    return set_limit(member.group.get(), "pids.max", limits_.pids);
}

// Each limit holds for each device by itself. See blkio-controller.rst for version 1.
Result<> CgroupMaker::limit_io() {
    SUB_TRY_ASSIGN(const int index, member_for(CgroupController::io));
    const Member& member = cgroup_.members_[index];
    SUB_TRY_ASSIGN(const std::vector<std::string> devices, block_devices());
    if (devices.empty()) return fail({Errc::unsupported, "no block device is known"});
    struct Limit {
        const char* v1_file;
        const char* v2_key;
        std::uint64_t most;
    };
    std::string keys;
    for (const Limit& limit : {Limit{"blkio.throttle.read_bps_device", "rbps", limits_.io.read_bps},
                               Limit{"blkio.throttle.write_bps_device", "wbps", limits_.io.write_bps},
                               Limit{"blkio.throttle.read_iops_device", "riops", limits_.io.read_iops},
                               Limit{"blkio.throttle.write_iops_device", "wiops", limits_.io.write_iops}}) {
        if (limit.most == 0) continue;
        keys += std::string(" ") + limit.v2_key + "=" + std::to_string(limit.most);
        if (member.unified) continue;
        for (const std::string& device : devices)
            SUB_TRY(set_device_limit(member.group.get(), limit.v1_file, device,
                                     " " + std::to_string(limit.most)));
    }
    if (!member.unified) return {};
    for (const std::string& device : devices)
        SUB_TRY(set_device_limit(member.group.get(), "io.max", device, keys));
    return {};
}

void CgroupMaker::degrade(const std::string& what, const Error& error, bool v1, bool is_default) {
    // Somebody who is refused as root is root of a user namespace: an ordinary user.
    const bool refused = error.os_errno() == EACCES || error.os_errno() == EPERM;
    std::string fix = error.advice();
    if (fix.empty() && ::geteuid() == 0 && !refused) fix = kDelegateRoot;
    else if (fix.empty()) fix = v1 ? kDelegateV1 : kDelegateUser;
    auto& list = is_default ? cgroup_.missing_defaults_ : cgroup_.degradations_;
    list.push_back({.component = "cgroup",
                    .reason = "no limit on " + what + ": " + error.message(),
                    .fix = std::move(fix)});
}

void CgroupMaker::note_io_held() {
    cgroup_.held_.io = limits_.io;
    if (!ground_.of(CgroupController::io) || (limits_.io.write_bps == 0 && limits_.io.write_iops == 0))
        return;
    cgroup_.degradations_.push_back({.component = "cgroup",
                                     .reason = "limits on writing hold only for what is written at once "
                                               "(O_DIRECT, O_SYNC, fsync): version 1 of "
                                               "control groups does not count what the kernel writes later",
                                     .fix = "boot with systemd.unified_cgroup_hierarchy=1"});
}

Result<> CgroupMaker::make_version_2() {
    if (!is_id(cgroup_.world_id_, "wld"))
        return fail({Errc::invalid, "'" + cgroup_.world_id_ + "' is not a world id"});
    if (!ground_.unified) return limit_all(/*v1=*/false);
    auto made = make_member(*ground_.unified, /*unified=*/true);
    if (!made && made.error().code() == Errc::conflict) return fail(std::move(made).error());
    if (made) {
        cgroup_.members_.push_back(*std::move(made));
        cgroup_.unified_ = 0;
    } else unified_problem_ = std::move(made).error();
    return limit_all(/*v1=*/false);
}

Result<Cgroup> CgroupMaker::make_version_1() {
    SUB_TRY(limit_all(/*v1=*/true));
    return std::move(cgroup_);
}

// The controllers of one version.
Result<> CgroupMaker::limit_all(bool v1) {
    struct Step {
        bool wanted;
        const char* what;
        CgroupController controller;
        Result<> (CgroupMaker::*limit)();
        std::uint64_t plan::Limits::* held = nullptr;
        bool is_default = false;
    };
    const bool memory_default = limits_.memory_is_default;
    for (const Step& step :
         {Step{limits_.cpu_millis != 0, "cpu", CgroupController::cpu, &CgroupMaker::limit_cpu},
          Step{limits_.memory_bytes != 0, "memory", CgroupController::memory, &CgroupMaker::limit_memory,
               &plan::Limits::memory_bytes, memory_default},
          Step{limits_.memory_bytes != 0, "swap", CgroupController::memory, &CgroupMaker::limit_swap,
               &plan::Limits::swap_bytes, memory_default},
          Step{limits_.pids != 0, "processes", CgroupController::pids, &CgroupMaker::limit_pids,
               &plan::Limits::pids, limits_.pids_is_default},
          Step{limits_.io.any(), "reading and writing", CgroupController::io, &CgroupMaker::limit_io}}) {
        if (!step.wanted || ground_.of(step.controller).has_value() != v1) continue;
        // Without a limit on memory there is nothing to add one on swap to; that was said.
        if (step.limit == &CgroupMaker::limit_swap && memory_ < 0) continue;
        const auto limited = (this->*step.limit)();
        if (!limited && limited.error().code() == Errc::conflict && limited.error().os_errno() == EEXIST)
            return fail(limited.error());
        if (limited && step.held != nullptr) cgroup_.held_.*step.held = limits_.*step.held;
        if (limited && step.limit == &CgroupMaker::limit_cpu) cgroup_.held_.cpu_millis = limits_.cpu_millis;
        if (limited && step.limit == &CgroupMaker::limit_io) note_io_held();
        if (limited || (step.limit == &CgroupMaker::limit_pids && limits_.pids_by_user)) continue;
        degrade(step.what, limited.error(), v1, step.is_default);
    }
    return {};
}

}  // namespace substrate::world
