#pragma once

#include <linux/stat.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.hpp"
#include "model/fs_diff.hpp"

namespace substrate::capture {

// Where an overlay keeps its own attributes: "user.overlay." for mounts made
// with userxattr, "trusted.overlay." else.
enum class XattrNamespace : std::uint8_t { user, trusted };

// One changed path, as a walk reports it. Everything it points to belongs to
// the walk and is valid during the call of the sink only.
struct Change {
    std::string_view path;  // relative to the root, raw bytes
    ChangeKind kind = ChangeKind::create;
    FileType type = FileType::regular;       // of what is there now; of what was there for a removal
    const struct ::statx* before = nullptr;  // nullptr when nothing was there
    const struct ::statx* after = nullptr;   // nullptr for a removal
    std::string_view link_target;            // of the symlink that `type` speaks of
    std::string_view renamed_from;           // renames only
    // The directory above is itself new (for what is there now) or gone (for a removal).
    bool nested = false;
    // Where `after` lies: a directory descriptor and the name in it. -1 for a removal.
    int after_dir = -1;
    const char* name = "";
};

// Called for each change; a failure ends the walk and becomes its result.
// A directory comes before what lies below it; otherwise in no order.
using ChangeSink = std::function<Result<>(const Change&)>;

inline FileType type_of(const struct ::statx& st) {
    switch (st.stx_mode & S_IFMT) {
        case S_IFDIR: return FileType::directory;
        case S_IFLNK: return FileType::symlink;
        case S_IFIFO: return FileType::fifo;
        case S_IFSOCK: return FileType::socket;
        case S_IFCHR: return FileType::char_device;
        case S_IFBLK: return FileType::block_device;
        default: return FileType::regular;
    }
}

inline bool is_directory(const struct ::statx& st) { return (st.stx_mode & S_IFMT) == S_IFDIR; }
// The character device 0/0, by which overlayfs hides what a lower layer has.
inline bool is_whiteout(const struct ::statx& st) {
    return (st.stx_mode & S_IFMT) == S_IFCHR && st.stx_rdev_major == 0 && st.stx_rdev_minor == 0;
}

// The file by which fuse-overlayfs hides NAME of a lower layer is ".wh.NAME"; that in an
// opaque directory, beside its attribute, is kOpaqueFile.
inline constexpr std::string_view kWhiteoutPrefix = ".wh.";
inline constexpr std::string_view kOpaqueFile = ".wh..wh..opq";

// Of a relative path: the directory part ("" for the root) and the last name.
inline std::string_view parent_part(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}
inline std::string_view name_part(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace substrate::capture
