#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// The mount API of Linux 5.2 and later: mounts are made detached, given their
// attributes, and only then attached. See fsopen(2), mount_setattr(2).
namespace substrate::sys {

// MOUNT_ATTR_* of linux/mount.h.
inline constexpr std::uint64_t kMountReadOnly = 0x1;
inline constexpr std::uint64_t kMountNoSuid = 0x2;
inline constexpr std::uint64_t kMountNoDev = 0x4;
inline constexpr std::uint64_t kMountNoExec = 0x8;

struct FsOption {
    const char* key;
    std::string value;     // at most 255 bytes, a limit of fsconfig(2)
    bool is_flag = false;  // no value
};

// fsopen + fsconfig + fsmount: a detached mount of a new superblock. The
// kernel's own words, where it gives any, become part of the error.
Result<UniqueFd> mount_new(const char* type, std::span<const FsOption> options, std::uint64_t attributes);
// Has a mounted file system forget every name that nobody holds: what is looked up next is looked up anew.
// Reconfiguring it, to what it is, does that (fs/super.c, reconfigure_super()). `fd`: the root of a mount.
Result<> forget_names(int fd);
// open_tree(OPEN_TREE_CLONE): a detached copy of the tree at `path`, relative
// to `dir`. The last component is not followed when it is a symbolic link.
Result<UniqueFd> clone_tree(int dir, const std::string& path, bool recursive);
// mount_setattr(2) on the mount that `fd` refers to. KERNEL(5.12)
Result<> set_attributes(int fd, std::uint64_t attributes, bool recursive);
Result<> clear_attributes(int fd, std::uint64_t attributes, bool recursive);
// Attaches the detached mount `mount` onto `path`, relative to `dir`; symbolic links in
// the last component are not followed.
Result<> attach(int mount, int dir, const std::string& path);
// No mount event crosses between this namespace and any other from now on.
Result<> make_all_private();
// umount2(MNT_DETACH) of the mount whose root `fd` refers to, wherever its path
// has gone. Needs /proc.
Result<> detach_mount(int fd);
// pivot_root(2) into the mount at `new_root`. The old root stays, stacked on the new
// one: no path leads there, but umount2(".", MNT_DETACH) is still to come.
Result<> pivot_into(const std::string& new_root);

}  // namespace substrate::sys
