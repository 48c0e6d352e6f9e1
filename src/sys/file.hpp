#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Files and directories by descriptor. Every open sets O_CLOEXEC; EINTR is
// retried; an error carries errno and the path that was named.
namespace substrate::sys {

// open(2).
Result<UniqueFd> open_path(const std::string& path, int flags, mode_t mode = 0);
// openat(2).
Result<UniqueFd> open_at(int dir, const std::string& name, int flags, mode_t mode = 0);
// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS:
// no component of `path` may be a link or lead out of `dir`.
Result<UniqueFd> open_beneath(int dir, const std::string& path, int flags, mode_t mode = 0);

// openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: links resolve as if
// `root` were "/".
Result<UniqueFd> open_in_root(int root, const std::string& path, int flags);

// openat2(2) with these flags and RESOLVE_* bits: a descriptor, or -errno.
int open_resolving(int dir, const char* path, std::uint64_t flags, std::uint64_t resolve);

// Up to buffer.size() bytes; 0 at the end.
Result<std::size_t> read_some(int fd, std::span<char> buffer);
// Until the end or `limit` bytes; more than `limit` is Errc::invalid.
Result<std::string> read_to_end(int fd, std::size_t limit);
Result<std::string> read_file(const std::string& path, std::size_t limit = 16u << 20);
// F_GETFL of fcntl(2): how it was opened.
Result<int> open_flags(int fd);
// All of `bytes`, over as many write(2) calls as it takes.
Result<> write_all(int fd, std::string_view bytes);
// ftruncate(2).
Result<> set_size(int fd, std::int64_t bytes);
// Replaces `path` by way of a temporary file beside it and rename(2). `mode` is
// the new file's. Durable when `sync`.
Result<> replace_file(const std::string& path, std::string_view bytes, mode_t mode,
                      /*fsync*/ bool sync = false);

// statx(2) with AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC and the basic fields;
// nullopt when the name does not exist (ENOENT, ENOTDIR).
Result<std::optional<struct ::statx>> stat_at(int dir, const char* name);
// The same for the object that `fd` refers to.
Result<struct ::statx> stat_fd(int fd);
// realpath(3); the path itself where it does not lead to anything.
std::string resolve_links(const std::string& path);
Result<std::string> read_link_at(int dir, const char* name);

inline std::int64_t to_ns(const struct statx_timestamp& t) {
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
inline std::uint64_t device_of(const struct ::statx& st) {
    return (static_cast<std::uint64_t>(st.stx_dev_major) << 32) | st.stx_dev_minor;
}

// Creates `path` and its missing parents, each with `mode`.
Result<> make_dirs(const std::string& path, mode_t mode);
// The same for a relative path, by open_beneath. Whatever is there already, stays.
Result<> make_dirs_beneath(int dir, const std::string& path, mode_t mode);
// mkdtemp(3): a directory of ours alone; six characters are appended to `prefix`.
Result<std::string> make_temp_dir(const std::string& prefix);
// A directory that belongs to us and nobody else can write: created 0700 when
// missing; a link, a foreign owner or group/other write bits are Errc::safety.
Result<UniqueFd> open_private_dir(const std::string& path);
// Removes the tree `name` below `dir` without following links; directories
// that are not searchable are made so first. Missing is success.
Result<> remove_tree_at(int dir, const std::string& name);

// What is left on the file system of `fd` for who is not privileged; no total of files where the
// file system has no limit of them (fstatvfs(3)).
struct DiskSpace {
    std::uint64_t bytes_left = 0, bytes_total = 0;
    std::uint64_t files_left = 0, files_total = 0;
};
Result<DiskSpace> disk_space(int fd);
// The file system magic of statfs(2), e.g. TMPFS_MAGIC of linux/magic.h.
Result<std::int64_t> file_system_magic(int fd);
Result<UniqueFd> make_memfd(const char* name, std::string_view content);  // sealed against every change

}  // namespace substrate::sys
