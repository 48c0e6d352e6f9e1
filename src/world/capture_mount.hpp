#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "world/init_protocol.hpp"
#include "world/setup.hpp"

namespace substrate::world {

// The mount at the project's own path inside a world. Each command looks everything up anew, because
// overlayfs leaves it undefined what a mounted overlay shows of later changes beneath it: by a
// fresh mount, or by one that has forgotten all that it knew, which costs a hundredth of that.
class CaptureMount {
  public:
    CaptureMount(const plan::CapturePlan& plan, const Staging& staging) : plan_(plan), staging_(staging) {}

    int fd() const { return mount_.get(); }  // of the mounted capture's root
    const std::string& slot() const { return slot_.path; }
    // These require that no process lives on a mount.
    // Mounts, or goes on with what rests or what prepare() made for the same slot. On failure nothing
    // stays mounted.
    Result<> mount(const CaptureSlot& slot);
    // Makes the mount of an overlay without attaching it: nothing of the project has been
    // looked up through it, so it shows the host's tree as it is when it is used.
    Result<> prepare(const CaptureSlot& slot);
    // After a command: an overlay in which nothing has changed stays for the next one.
    Result<> rest();
    Result<> unmount();

  private:
    // What a mounted overlay remembers of its root for good.
    struct Access {
        std::uint32_t mode = 0, uid = 0, gid = 0;
        bool operator==(const Access&) const = default;
    };
    Result<> restrict(int mount) const;
    Result<> open_parts(int mount) const;
    Result<> cover(int mount) const;
    Result<> attach_alias();
    Result<Access> access_of(const CaptureSlot& slot) const;
    void drop_prepared();
    void clear_work(const std::string& slot) const;
    bool may_rest() const;
    bool is_of(const CaptureSlot& slot) const;
    Result<sys::UniqueFd> make(const CaptureSlot& slot) const;
    Result<sys::UniqueFd> make_overlay(const CaptureSlot& slot) const;

    const plan::CapturePlan& plan_;
    const Staging& staging_;
    sys::UniqueFd mount_;
    sys::UniqueFd alias_;
    CaptureSlot slot_;
    Access root_;  // of the mounted slot's upper directory
    sys::UniqueFd prepared_;
    CaptureSlot prepared_slot_;
};

}  // namespace substrate::world
