#pragma once

#include <optional>
#include <string>

#include "world/cgroup.hpp"

namespace substrate::world {

// Makes one Cgroup: which directories it needs, and what they limit.
class CgroupMaker {
  public:
    CgroupMaker(const CgroupGround& ground, std::string world_id, const plan::Limits& limits)
        : ground_(ground), limits_(limits) {
        cgroup_.world_id_ = std::move(world_id);
    }
    Result<Cgroup> make();

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

    Result<> limit_cpu();
    Result<> limit_memory();
    Result<> limit_swap();
    Result<> limit_pids();
    Result<> limit_io();

    const CgroupGround& ground_;
    const plan::Limits& limits_;
    Cgroup cgroup_;
    int memory_ = -1;
    std::optional<Error> unified_problem_;
};

}  // namespace substrate::world
