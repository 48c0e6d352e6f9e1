#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "capture/change.hpp"

namespace substrate::capture {

// The layers of one capture mount, as directory descriptors of the caller.
struct OverlayLayers {
    int upper = -1;
    std::vector<int> lowers;  // the top one first; the last is the project, the others earlier uppers
    XattrNamespace xattrs = XattrNamespace::user;
    bool whiteout_files = false;  // made by fuse-overlayfs: see kWhiteoutPrefix
};

// Reports every change that the upper directory holds against the lowers. The
// overlay must be mounted without redirect_dir and metacopy (their defaults
// with userxattr); a redirect is Errc::unsupported.
// - A removed directory is reported and each thing below it.
// - What was copied up and is equal in size, mtime, mode, owner and link target
//   is no change; of a directory only mode and owner count.
// - Upper directories that may not be read are unlocked during the visit.
Result<> walk_overlay(const OverlayLayers& layers, const ChangeSink& sink);

// What overlay.origin says of an object in an upper directory.
struct Origin {
    bool copied_up = false;  // it came from a lower layer
    // The inode there; known for ext4, xfs and tmpfs, and only where the mount was made
    // with CAP_DAC_READ_SEARCH in the first user namespace.
    std::optional<std::uint64_t> inode;
};
Result<Origin> read_origin(int dir, const char* name, XattrNamespace xattrs);

}  // namespace substrate::capture
