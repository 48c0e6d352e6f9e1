#pragma once

#include <linux/stat.h>
#include <sys/types.h>

#include <cstdint>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Changes to a tree, each one system call relative to directory descriptors.
// Names are single components; none of these follows a link in its last one.
namespace substrate::sys {

// statx(2) with the basic fields and the birth time into `st`; false when the
// name does not exist. No allocation, for the walks.
Result<bool> stat_entry(int dir, const char* name, struct ::statx& st);
// Opens a directory for reading, refusing links; ENOTDIR or ELOOP otherwise.
Result<UniqueFd> open_dir_at(int dir, const char* name);
// The same as a location only (O_PATH): needs no permission on the directory.
Result<UniqueFd> open_dir_location_at(int dir, const char* name);
Result<> rewind_dir(int fd);

Result<> make_dir_at(int dir, const char* name, mode_t mode);
Result<> make_symlink_at(const char* target, int dir, const char* name);
Result<> make_fifo_at(int dir, const char* name, mode_t mode);
Result<> make_socket_at(int dir, const char* name);
// The character device 0/0 by which overlayfs marks a removal.
// KERNEL(5.8): allowed without CAP_MKNOD.
Result<> make_whiteout_at(int dir, const char* name);
// A new file opened for writing, mode 0600; EEXIST when the name is taken.
Result<UniqueFd> create_file_at(int dir, const char* name);

// renameat2(2); `flags` are RENAME_NOREPLACE, RENAME_EXCHANGE or 0.
Result<> rename_at(int from_dir, const char* from, int to_dir, const char* to, unsigned flags = 0);
Result<> link_at(int from_dir, const char* from, int to_dir, const char* to);
Result<> unlink_at(int dir, const char* name);
Result<> remove_dir_at(int dir, const char* name);

Result<> set_mode(int fd, mode_t mode);
Result<> set_mode_at(int dir, const char* name, mode_t mode);
Result<> set_owner_at(int dir, const char* name, std::uint32_t uid, std::uint32_t gid);
// The modification time of `st`; the access time becomes the same.
Result<> set_mtime_at(int dir, const char* name, const struct ::statx& st);

// Copies `size` bytes of `from` to the empty file `to`: FICLONE, else
// copy_file_range(2), else read and write. Holes stay holes.
Result<> copy_contents(int from, int to, std::uint64_t size);

// True when both files hold the same bytes from where they stand to their ends.
Result<bool> same_contents(int a, int b);

// The effective user id of this process.
std::uint32_t effective_uid();
// A time in the order of the kernel's file stamps: what was written to any file
// before has a ctime below it, what is written afterwards one not below. Touches `fd`,
// a file or directory of ours.
// KERNEL(6.13): exact; before, stamps of the same clock tick as the result may be
// of either side.
Result<std::int64_t> stamp_now(int fd);

}  // namespace substrate::sys
