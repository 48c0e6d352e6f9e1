#pragma once

#include <span>
#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "sys/landlock.hpp"
#include "world/capture_mount.hpp"

namespace substrate::world {

// The flags for landlock_restrict_self(2). What domains of a command's own refuse is not logged: it could
// fill the host's log with it. What this one refuses is, where the policy wants to see what is refused.
std::uint32_t restrict_flags(const plan::LandlockPlan& landlock, SeccompMode seccomp);

// The Landlock rules of one command after another: what is the same for all of them is
// laid down ahead, the project and the standard streams when they are known.
class CommandRules {
  public:
    // `landlock` and `capture` must live as long as this.
    CommandRules(const plan::LandlockPlan& landlock, const plan::CapturePlan& capture)
        : landlock_(landlock), capture_(capture) {}

    bool in_use() const { return landlock_.abi > 0; }
    // Makes the ruleset of the next command but for what only that command has. In the
    // world's own root.
    Result<> prepare();
    // The whole ruleset: a command that gets less is not started.
    Result<sys::LandlockRuleset> take(const CaptureMount& mount, std::span<const sys::UniqueFd> stdio);

  private:
    Result<> open_places();
    Result<> allow_project(sys::LandlockRuleset& rules, const CaptureMount& mount) const;

    struct Place {
        sys::UniqueFd fd;
        std::uint64_t rights;
    };
    const plan::LandlockPlan& landlock_;
    const plan::CapturePlan& capture_;
    std::vector<Place> places_;
    bool opened_ = false;
    std::optional<sys::LandlockRuleset> next_;
};

}  // namespace substrate::world
