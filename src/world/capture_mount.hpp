#pragma once

#include <string>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "world/init_protocol.hpp"
#include "world/setup.hpp"

namespace substrate::world {

// The mount at the project's own path inside a world. Each command gets a
// fresh one, because overlayfs leaves it undefined what a mounted overlay shows
// of later changes beneath it.
class CaptureMount {
  public:
    CaptureMount(const plan::CapturePlan& plan, const Staging& staging) : plan_(plan), staging_(staging) {}

    bool mounted() const { return static_cast<bool>(mount_); }
    int fd() const { return mount_.get(); }  // of the mounted capture's root
    const std::string& slot() const { return slot_; }
    // Requires !mounted(). On failure nothing stays mounted. Uses what prepare()
    // made for the same slot.
    Result<> mount(const CaptureSlot& slot);
    // Makes the mount of an overlay without attaching it: nothing of the project has been
    // looked up through it, so it shows the host's tree as it is when it is used.
    Result<> prepare(const CaptureSlot& slot);
    // Detaches the mount; requires that no process lives on it.
    Result<> unmount();

  private:
    Result<> restrict(int mount) const;
    Result<> open_parts(int mount) const;
    Result<> cover(int mount) const;
    Result<> attach_alias();
    void drop_prepared();
    void clear_work(const std::string& slot) const;
    Result<sys::UniqueFd> make(const CaptureSlot& slot) const;
    Result<sys::UniqueFd> make_overlay(const CaptureSlot& slot) const;

    const plan::CapturePlan& plan_;
    const Staging& staging_;
    sys::UniqueFd mount_;
    sys::UniqueFd alias_;
    std::string slot_;
    sys::UniqueFd prepared_;
    CaptureSlot prepared_slot_;
};

}  // namespace substrate::world
