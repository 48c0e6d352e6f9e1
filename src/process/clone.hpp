#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "process/child_plan.hpp"
#include "process/spawn.hpp"

namespace substrate::process {

// What a child runs on until it executes its program.
class ChildStack {
  public:
    static constexpr std::size_t kSize = 64 * 1024;
    void* bottom() { return memory_.get(); }
    void* top() { return memory_.get() + kSize; }

  private:
    std::unique_ptr<std::byte[]> memory_ = std::make_unique_for_overwrite<std::byte[]>(kSize);
};

// Starts child_main(plan). The child shares our memory until it executes: no page
// tables are copied, however large we are. Plan and stack must outlive that. `flags`:
// of clone(2), besides CLONE_VM, CLONE_PIDFD and SIGCHLD. `cgroup_fd`: see SpawnOptions.
Result<Child> clone_child(const ChildPlan& plan, ChildStack& stack, int flags, int cgroup_fd = -1);

// What a child says of its failure, as an error.
Error describe(const ChildReport& report);

}  // namespace substrate::process
