#include "capture/overlay_walk.hpp"

#include <cstring>

#include "capture/layer_walk.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

// struct ovl_fb of fs/overlayfs/overlayfs.h, and the handle types of
// include/linux/exportfs.h whose layout starts with the inode number.
constexpr std::uint8_t kOriginMagic = 0xfb;
constexpr std::size_t kOriginType = 4;
constexpr std::size_t kOriginHandle = 21;
constexpr std::uint8_t kInode32Generation = 1;
constexpr std::uint8_t kInode64Generation = 0x81;

}  // namespace

Result<> walk_overlay(const OverlayLayers& layers, const ChangeSink& sink) {
    LayerWalk walk({.upper = layers.upper,
                    .lowers = layers.lowers,
                    .xattrs = layers.xattrs,
                    .whiteout_files = layers.whiteout_files},
                   sink);
    return walk.run();
}

Result<Origin> read_origin(int dir, const char* name, XattrNamespace xattrs) {
    const char* attribute = xattrs == XattrNamespace::user ? "user.overlay.origin" : "trusted.overlay.origin";
    char value[160];
    SUB_TRY_ASSIGN(const auto size, sys::get_xattr_at(dir, name, attribute, value));
    Origin origin{.copied_up = size.has_value()};
    if (!size || *size <= kOriginHandle || value[0] != 0 ||
        static_cast<std::uint8_t>(value[1]) != kOriginMagic)
        return origin;
    const auto type = static_cast<std::uint8_t>(value[kOriginType]);
    const std::size_t handle = *size - kOriginHandle;
    if (type == kInode32Generation && handle == 8) {
        std::uint32_t inode = 0;
        std::memcpy(&inode, value + kOriginHandle, sizeof inode);
        origin.inode = inode;
    } else if (type == kInode32Generation && handle == 12) {
        // tmpfs puts the generation first.
        std::uint64_t inode = 0;
        std::memcpy(&inode, value + kOriginHandle + 4, sizeof inode);
        origin.inode = inode;
    } else if (type == kInode64Generation && handle >= 12) {
        std::uint64_t inode = 0;
        std::memcpy(&inode, value + kOriginHandle, sizeof inode);
        origin.inode = inode;
    }
    return origin;
}

}  // namespace substrate::capture
