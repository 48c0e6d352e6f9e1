#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"
#include "plan/limits.hpp"
#include "process/spawn.hpp"
#include "sys/unique_fd.hpp"
#include "world/cgroup_ground.hpp"

// The control group of a world. See cgroups(7), admin-guide/cgroup-v2.rst and, for
// version 1, admin-guide/cgroup-v1/memory.rst, pids.rst and scheduler/sched-bwc.rst.
namespace substrate::world {

// What a group has used since it was made. nullopt: not counted here.
struct CgroupUsage {
    std::optional<std::uint64_t> memory_bytes;       // now
    std::optional<std::uint64_t> memory_peak_bytes;  // v2: KERNEL(5.19)
    std::optional<std::uint64_t> oom_kills;          // processes ended for want of memory
    std::optional<std::uint64_t> pids_max_hits;      // forks and threads refused
    std::optional<std::uint64_t> cpu_us;             // user and system
    bool operator==(const CgroupUsage&) const = default;
};

// `substrate/<world id>` below our own group: one directory in version 2, where that is
// mounted and writable, and one in each version 1 hierarchy that a limit needs. Owns the
// directories; whoever is in them when it is destroyed is killed.
class Cgroup {
  public:
    // Makes the directories and sets the limits. What cannot be had is in degradations(),
    // one entry for each limit that does not hold, and no error; without any limit asked for,
    // that is nobody's concern and exists() may be false. A limit of processes that RLIMIT_NPROC holds as
    // well is not missing.
    // On version 2 a controller is shared out only from a group without processes
    // (cgroup-v2.rst, "No Internal Process Constraint"): if only processes of ground.movable live
    // in ours, they are moved to `substrate/agent`, and stay there.
    // Errors: Errc::invalid for what is no world id, Errc::conflict when its group exists.
    static Result<Cgroup> make(const CgroupGround& ground, const std::string& world_id,
                               const plan::Limits& limits);

    // No group and no limits.
    static Cgroup none() { return Cgroup(); }

    Cgroup(Cgroup&& other) noexcept;
    Cgroup& operator=(Cgroup&& other) noexcept;
    ~Cgroup();  // kill() and remove(), as far as they go

    // False when no directory could be made: add() and kill() then do nothing.
    bool exists() const { return !members_.empty(); }
    const std::vector<Degradation>& degradations() const { return degradations_; }
    // The same of limits that nobody asked for (plan::with_defaults): for the record, not worth a warning.
    const std::vector<Degradation>& missing_defaults() const { return missing_defaults_; }
    // What of the limits holds; the others are 0.
    const plan::Limits& held() const { return held_; }
    // Where the directories are, for people.
    std::vector<std::string> directories() const;

    // Moves a process with all its threads in. Costs milliseconds for each directory: a
    // grace period of RCU. Later children of the process follow it. An error means that it
    // may be in some of the directories only.
    Result<> add(pid_t pid) const;
    // For CLONE_INTO_CGROUP of clone3(2); -1 without version 2. The descriptor stays ours.
    int v2_fd() const;
    // Version 1: a process with one thread that writes "0" to each of these is in, without
    // the wait that add() has. The descriptors stay ours.
    std::vector<int> v1_task_fds() const;

    // Errors: the group is gone.
    Result<CgroupUsage> usage() const;

    // SIGKILL to every process inside, and waits until none is left, at most two seconds:
    // then Errc::unavailable. By cgroup.kill (KERNEL 5.14), which also reaches groups below, and
    // where that is missing by signals, again and again, since processes may fork meanwhile.
    Result<> kill();
    // Removes the directories; waits for processes on their way out, at most one second.
    // Errc::conflict when processes or other groups are inside; may be called again.
    Result<> remove();

  private:
    friend class CgroupMaker;
    struct Member {
        bool unified = false;
        std::string directory;
        sys::UniqueFd own;     // the group that we live in
        sys::UniqueFd parent;  // substrate/
        sys::UniqueFd group;   // substrate/<world id>
        sys::UniqueFd tasks;   // v1: its file `tasks`, for writing
    };
    Cgroup() = default;
    const Member* unified() const { return unified_ < 0 ? nullptr : &members_[unified_]; }
    Result<> take_v1_usage(CgroupUsage& usage) const;
    Result<bool> kill_once() const;

    std::string world_id_;
    bool keep_parents_ = false;
    std::vector<Member> members_;
    int unified_ = -1;  // index; version 1's follow
    int v1_cpu_ = -1, v1_memory_ = -1, v1_pids_ = -1;
    plan::Limits held_;
    std::vector<Degradation> degradations_, missing_defaults_;
};

// A group of a world that may be dead. A world that is being made has an empty group
// too: ask its lock before removing.
struct CgroupLeftover {
    std::string world_id;
    bool empty = true;  // of processes, in every hierarchy
    bool operator==(const CgroupLeftover&) const = default;
};

// The groups `substrate/<world id>` of all hierarchies that can be opened, by id.
Result<std::vector<CgroupLeftover>> find_leftovers(const CgroupGround& ground);
// Removes one. Errc::conflict when processes are inside. Missing is success.
Result<> remove_leftover(const CgroupGround& ground, const std::string& world_id);
// Every `substrate` in which no group is. Whoever is about to make one there makes that again.
Result<> remove_empty_parents(const CgroupGround& ground);

}  // namespace substrate::world
