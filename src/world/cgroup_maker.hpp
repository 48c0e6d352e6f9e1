#pragma once

#include <optional>
#include <string>

#include "world/cgroup.hpp"

namespace substrate::world {

// Makes one Cgroup: which directories it needs, and what they limit. Version 2's part comes first, since a
// process is in there from its start (CLONE_INTO_CGROUP), and with it what is limited there: sharing out a
// controller to a group with processes is slow. Version 1's can be made while the process starts.
class CgroupMaker {
  public:
    // `ground` is borrowed.
    CgroupMaker(const CgroupGround& ground, std::string world_id, const plan::Limits& limits)
        : ground_(ground), limits_(limits) {
        cgroup_.world_id_ = std::move(world_id);
        cgroup_.keep_parents_ = ground.keep_parents;
    }
    // Errors of both: those of Cgroup::make.
    Result<> make_version_2();
    Result<Cgroup> make_version_1();  // and hands over the whole
    // Between the two.
    int v2_fd() const { return cgroup_.v2_fd(); }

  private:
    using Member = Cgroup::Member;

    std::string group_below(const CgroupPlace& place) const;
    Result<Member> make_member(const CgroupPlace& place, bool unified) const;
    // The index of the directory in which `controller` works.
    Result<int> member_for(CgroupController controller);
    Result<> share_out(CgroupController controller);
    Result<> step_aside(const Member& member) const;
    void note_io_held();
    void degrade(const std::string& what, const Error& error, bool v1, bool is_default);

    Result<> limit_all(bool v1);
    Result<> limit_cpu();
    Result<> limit_memory();
    Result<> limit_swap();
    Result<> limit_pids();
    Result<> limit_io();

    const CgroupGround& ground_;
    plan::Limits limits_;
    Cgroup cgroup_;
    int memory_ = -1;
    std::optional<Error> unified_problem_;
};

}  // namespace substrate::world
