#include "sys/tree_ops.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "sys/file.hpp"

namespace substrate::sys {
namespace {

constexpr std::size_t kCopyBuffer = 256 * 1024;

Result<> done(int result, const char* operation, const char* name) {
    if (result != 0) return fail(Error::last_os(operation, name));
    return {};
}

// pread and pwrite, for pairs of file systems that copy_file_range refuses.
Result<> copy_range_by_hand(int from, int to, off_t at, off_t end) {
    const auto buffer = std::make_unique_for_overwrite<char[]>(kCopyBuffer);
    while (at < end) {
        const auto want = std::min<std::uint64_t>(kCopyBuffer, static_cast<std::uint64_t>(end - at));
        const ssize_t n = ::pread(from, buffer.get(), want, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("pread"));
        if (n == 0) return {};
        for (ssize_t written = 0; written < n;) {
            const ssize_t w =
                ::pwrite(to, buffer.get() + written, static_cast<std::size_t>(n - written), at + written);
            if (w < 0 && errno == EINTR) continue;
            if (w < 0) return fail(Error::last_os("pwrite"));
            written += w;
        }
        at += n;
    }
    return {};
}

Result<> copy_range(int from, int to, off_t at, off_t end) {
    while (at < end) {
        off_t in = at;
        off_t out = at;
        const ssize_t n = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - at), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || errno == EFBIG))
            return fail(Error::last_os("copy_file_range"));
        // Some file systems answer 0 for what they cannot copy this way.
        if (n <= 0) return copy_range_by_hand(from, to, at, end);
        at += n;
    }
    return {};
}

}  // namespace

Result<bool> stat_entry(int dir, const char* name, struct ::statx& st) {
    if (::statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
                STATX_BASIC_STATS | STATX_BTIME, &st) == 0)
        return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return fail(Error::last_os("statx", name));
}

Result<UniqueFd> open_dir_at(int dir, const char* name) {
    const int fd = ::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return fail(Error::last_os("open", name));
    return UniqueFd(fd);
}

Result<UniqueFd> open_dir_location_at(int dir, const char* name) {
    const int fd = ::openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return fail(Error::last_os("open", name));
    return UniqueFd(fd);
}

Result<> rewind_dir(int fd) {
    if (::lseek(fd, 0, SEEK_SET) < 0) return fail(Error::last_os("lseek"));
    return {};
}

Result<> make_dir_at(int dir, const char* name, mode_t mode) {
    return done(::mkdirat(dir, name, mode), "mkdir", name);
}

Result<> make_symlink_at(const char* target, int dir, const char* name) {
    return done(::symlinkat(target, dir, name), "symlink", name);
}

Result<> make_fifo_at(int dir, const char* name, mode_t mode) {
    return done(::mkfifoat(dir, name, mode), "mkfifo", name);
}

Result<> make_socket_at(int dir, const char* name) {
    return done(::mknodat(dir, name, S_IFSOCK | 0600, 0), "mknod", name);
}

Result<> make_whiteout_at(int dir, const char* name) {
    return done(::mknodat(dir, name, S_IFCHR, 0), "mknod", name);
}

Result<UniqueFd> create_file_at(int dir, const char* name) {
    const int fd = ::openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return fail(Error::last_os("create", name));
    return UniqueFd(fd);
}

Result<> rename_at(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
    return done(::renameat2(from_dir, from, to_dir, to, flags), "rename", from);
}

Result<> link_at(int from_dir, const char* from, int to_dir, const char* to) {
    return done(::linkat(from_dir, from, to_dir, to, 0), "link", from);
}

Result<> unlink_at(int dir, const char* name) { return done(::unlinkat(dir, name, 0), "unlink", name); }

Result<> remove_dir_at(int dir, const char* name) {
    return done(::unlinkat(dir, name, AT_REMOVEDIR), "rmdir", name);
}

Result<> set_mode(int fd, mode_t mode) { return done(::fchmod(fd, mode), "fchmod", ""); }

Result<> set_mode_at(int dir, const char* name, mode_t mode) {
    // glibc goes through /proc/self/fd where the kernel has no fchmodat2.
    return done(::fchmodat(dir, name, mode, AT_SYMLINK_NOFOLLOW), "chmod", name);
}

Result<> set_owner_at(int dir, const char* name, std::uint32_t uid, std::uint32_t gid) {
    return done(::fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", name);
}

Result<> set_mtime_at(int dir, const char* name, const struct ::statx& st) {
    const timespec mtime{st.stx_mtime.tv_sec, static_cast<long>(st.stx_mtime.tv_nsec)};
    const timespec times[2] = {mtime, mtime};
    return done(::utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW), "utimensat", name);
}

Result<> copy_contents(int from, int to, std::uint64_t size) {
    if (size == 0 || ::ioctl(to, FICLONE, from) == 0) return {};
    const auto end = static_cast<off_t>(size);
    for (off_t at = 0; at < end;) {
        off_t data = ::lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;  // only a hole is left
        const off_t hole = data < 0 ? end : ::lseek(from, data, SEEK_HOLE);
        if (data < 0) data = at;  // a file system that knows no holes
        at = hole < 0 ? end : std::min(hole, end);
        SUB_TRY(copy_range(from, to, data, at));
    }
    // Restores a trailing hole.
    if (::ftruncate(to, end) != 0) return fail(Error::last_os("ftruncate"));
    return {};
}

Result<bool> same_contents(int a, int b) {
    const auto left = std::make_unique_for_overwrite<char[]>(kCopyBuffer);
    const auto right = std::make_unique_for_overwrite<char[]>(kCopyBuffer);
    // Short reads happen at the end only on the file systems that hold trees.
    for (;;) {
        SUB_TRY_ASSIGN(const std::size_t n, read_some(a, {left.get(), kCopyBuffer}));
        SUB_TRY_ASSIGN(const std::size_t m, read_some(b, {right.get(), kCopyBuffer}));
        if (n != m || std::memcmp(left.get(), right.get(), n) != 0) return false;
        if (n == 0) return true;
    }
}

std::uint32_t effective_uid() { return ::geteuid(); }

Result<std::int64_t> stamp_now(int fd) {
    // Once a stamp was read, the next one is taken from the fine clock and becomes
    // the floor of all later ones (Documentation/filesystems/multigrain-ts.rst).
    std::int64_t stamp = 0;
    for (int i = 0; i < 2; ++i) {
        if (::futimens(fd, nullptr) != 0) return fail(Error::last_os("futimens"));
        SUB_TRY_ASSIGN(const auto st, stat_fd(fd));
        stamp = to_ns(st.stx_ctime);
    }
    return stamp;
}

}  // namespace substrate::sys
