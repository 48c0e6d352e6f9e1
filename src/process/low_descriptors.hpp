#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "process/child_plan.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::process {

// Small numbers that a program with many open files keeps for its children: what a child needs is copied
// there, so that its table of descriptors ends with them, and the others are neither copied nor closed
// (CLOSE_RANGE_UNSHARE of close_range(2), KERNEL(5.9)). Thread-safe.
class LowDescriptors {
  public:
    // Takes the lowest that are free: before anything else is opened.
    static Result<std::shared_ptr<LowDescriptors>> reserve();

    // The numbers, for one child. Until it is gone, what the child needs is open here too.
    class Lease {
      public:
        ~Lease();
        Lease(Lease&&) noexcept = default;
        Lease& operator=(Lease&& other) noexcept {
            std::swap(owner_, other.owner_);
            std::swap(lock_, other.lock_);
            std::swap(used_, other.used_);
            return *this;
        }

      private:
        friend class LowDescriptors;
        Lease(LowDescriptors& owner, std::unique_lock<std::mutex> lock)
            : owner_(&owner), lock_(std::move(lock)) {}

        LowDescriptors* owner_;
        std::unique_lock<std::mutex> lock_;
        std::size_t used_ = 0;
    };
    // Copies what `plan` names and has it name the copies. nullopt: another child has them.
    Result<std::optional<Lease>> lend(ChildPlan& plan);

  private:
    LowDescriptors() = default;

    std::mutex mutex_;
    std::vector<sys::UniqueFd> places_;  // in order; each is /dev/null meanwhile
};

}  // namespace substrate::process
