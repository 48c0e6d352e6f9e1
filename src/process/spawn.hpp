#pragma once

#include <functional>
#include <memory>

#include "base/result.hpp"
#include "process/child_plan.hpp"
#include "process/low_descriptors.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::process {

struct Child {
    sys::UniqueFd pidfd;
    pid_t pid = -1;
};

struct SpawnOptions {
    int namespaces = 0;  // CLONE_NEW* flags of clone(2)
    // Called in the parent with the child's pid before the child goes on; it
    // writes the id maps. ChildPlan::id_maps_ready_fd is spawn's to set.
    std::function<Result<>(pid_t)> write_id_maps;
    // The directory of a version 2 cgroup in which the child is created, by CLONE_INTO_CGROUP of
    // clone3(2), KERNEL(5.7). The descriptor stays the caller's. -1: our own group.
    int cgroup_fd = -1;
    // Used where many files are open, and only for what starts at once: null or free of others. Not owned.
    LowDescriptors* low = nullptr;
};

// A child on its way to its program. Until that is executed it shares our memory: what the plan
// points to must outlive finish(). Destruction without finish() ends the child.
class StartingChild {
  public:
    // Returns as soon as the child goes on by itself. Errors: what clone says, or why its id maps could
    // not be written.
    static Result<StartingChild> begin(const ChildPlan& plan, const SpawnOptions& options = {});

    StartingChild(StartingChild&&) noexcept;
    StartingChild& operator=(StartingChild&&) noexcept;
    ~StartingChild();

    // Waits until the program is executed; once only. Errors: the child's own report as
    // "step 'detail': errno"; the child has then been reaped. The caller reaps a running child by its pidfd.
    Result<Child> finish();

  private:
    struct State;
    explicit StartingChild(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// The same in one.
Result<Child> spawn(const ChildPlan& plan, const SpawnOptions& options = {});

// Waits for the child to end and reaps it: the wait status as of wait(2).
Result<int> wait_for(const Child& child);

}  // namespace substrate::process
