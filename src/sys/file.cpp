#include "sys/file.hpp"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>

#include "base/paths.hpp"
#include "sys/directory.hpp"

namespace substrate::sys {
namespace {

Result<UniqueFd> open_resolved(int dir, const std::string& path, int flags, mode_t mode,
                               std::uint64_t resolve) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.mode = mode;
    how.resolve = resolve;
    long fd = -1;
    // EAGAIN: a rename somewhere raced with the check of "..".
    do fd = ::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0) return fail(Error::last_os("openat2", path));
    return UniqueFd(static_cast<int>(fd));
}

}  // namespace

int open_resolving(int dir, const char* path, std::uint64_t flags, std::uint64_t resolve) {
    const open_how how{.flags = flags | O_CLOEXEC, .mode = 0, .resolve = resolve};
    const long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    return fd < 0 ? -errno : static_cast<int>(fd);
}

Result<UniqueFd> open_at(int dir, const std::string& name, int flags, mode_t mode) {
    int fd = -1;
    do fd = ::openat(dir, name.c_str(), flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return fail(Error::last_os("open", name));
    return UniqueFd(fd);
}

Result<UniqueFd> open_path(const std::string& path, int flags, mode_t mode) {
    return open_at(AT_FDCWD, path, flags, mode);
}

Result<UniqueFd> open_beneath(int dir, const std::string& path, int flags, mode_t mode) {
    return open_resolved(dir, path, flags, mode,
                         RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

Result<UniqueFd> open_in_root(int root, const std::string& path, int flags) {
    return open_resolved(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

Result<std::size_t> read_some(int fd, std::span<char> buffer) {
    ssize_t n = -1;
    do n = ::read(fd, buffer.data(), buffer.size());
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Error::last_os("read"));
    return static_cast<std::size_t>(n);
}

Result<std::string> read_to_end(int fd, std::size_t limit) {
    std::string text;
    char chunk[16 * 1024];
    for (;;) {
        SUB_TRY_ASSIGN(const std::size_t n, read_some(fd, chunk));
        if (n == 0) return text;
        if (text.size() + n > limit)
            return fail({Errc::invalid, "more than " + std::to_string(limit) + " bytes"});
        text.append(chunk, n);
    }
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
    SUB_TRY_ASSIGN(const UniqueFd fd, open_path(path, O_RDONLY));
    auto text = read_to_end(fd.get(), limit);
    if (!text) return fail(std::move(text).error().during("reading '" + path + "'"));
    return text;
}

Result<int> open_flags(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) return fail(Error::last_os("fcntl"));
    return flags;
}

Result<> write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("write"));
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<> set_size(int fd, std::int64_t bytes) {
    if (::ftruncate(fd, bytes) != 0) return fail(Error::last_os("ftruncate"));
    return {};
}

Result<> replace_file(const std::string& path, std::string_view bytes, mode_t mode, bool sync) {
    std::string temporary = path + ".XXXXXX";
    const UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) return fail(Error::last_os("mkostemp", temporary));
    const auto abandon = [&](Error error) {
        ::unlink(temporary.c_str());
        return fail(std::move(error).during("replacing '" + path + "'"));
    };
    if (auto written = write_all(fd.get(), bytes); !written) return abandon(std::move(written).error());
    if (::fchmod(fd.get(), mode) != 0) return abandon(Error::last_os("fchmod"));
    if (sync && ::fsync(fd.get()) != 0) return abandon(Error::last_os("fsync"));
    if (::rename(temporary.c_str(), path.c_str()) != 0) return abandon(Error::last_os("rename"));
    return {};
}

Result<std::optional<struct ::statx>> stat_at(int dir, const char* name) {
    struct ::statx st{};
    if (::statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
                &st) == 0)
        return st;
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    return fail(Error::last_os("statx", name));
}

Result<struct ::statx> stat_fd(int fd) {
    struct ::statx st{};
    if (::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) != 0)
        return fail(Error::last_os("statx"));
    return st;
}

std::string resolve_links(const std::string& path) {
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return path;
    std::string text(resolved);
    ::free(resolved);
    return text;
}

Result<std::string> read_link_at(int dir, const char* name) {
    std::string target(256, '\0');
    for (;;) {
        const ssize_t n = ::readlinkat(dir, name, target.data(), target.size());
        if (n < 0) return fail(Error::last_os("readlink", name));
        if (static_cast<std::size_t>(n) < target.size()) {
            target.resize(static_cast<std::size_t>(n));
            return target;
        }
        target.resize(target.size() * 2);
    }
}

Result<> make_dirs(const std::string& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return {};
    if (errno != ENOENT || path == "/") return fail(Error::last_os("mkdir", path));
    SUB_TRY(make_dirs(std::string(parent_of(path)), mode));
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail(Error::last_os("mkdir", path));
    return {};
}

Result<std::string> make_temp_dir(const std::string& prefix) {
    std::string path = prefix + "XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return fail(Error::last_os("mkdtemp", prefix));
    return path;
}

Result<> make_dirs_beneath(int dir, const std::string& path, mode_t mode) {
    const auto there = open_beneath(dir, path, O_PATH);
    if (there) return {};
    if (there.error().os_errno() != ENOENT) return fail(there.error());
    const auto slash = path.find_last_of('/');
    const std::string above = slash == std::string::npos ? "." : path.substr(0, slash);
    if (above != ".") SUB_TRY(make_dirs_beneath(dir, above, mode));
    SUB_TRY_ASSIGN(const UniqueFd parent, open_beneath(dir, above, O_PATH | O_DIRECTORY));
    const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
    if (::mkdirat(parent.get(), name.c_str(), mode) != 0) return fail(Error::last_os("mkdir", path));
    return {};
}

Result<UniqueFd> open_private_dir(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail(Error::last_os("mkdir", path));
    SUB_TRY_ASSIGN(UniqueFd fd, open_path(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    SUB_TRY_ASSIGN(const auto st, stat_fd(fd.get()));
    if (st.stx_uid != ::geteuid())
        return fail({Errc::safety, "'" + path + "' belongs to uid " + std::to_string(st.stx_uid)});
    if ((st.stx_mode & 022) != 0)
        return fail(
            Error(Errc::safety, "'" + path + "' can be written by others").hint("chmod 700 '" + path + "'"));
    return fd;
}

Result<> remove_tree_at(int dir, const std::string& name) {
    if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return fail(Error::last_os("unlink", name));
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY && errno != EEXIST) return fail(Error::last_os("rmdir", name));
    auto opened = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!opened && opened.error().os_errno() == EACCES && ::fchmodat(dir, name.c_str(), 0700, 0) == 0)
        opened = open_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    SUB_TRY_ASSIGN(const UniqueFd fd, std::move(opened));
    if (::fchmod(fd.get(), 0700) != 0 && errno != EPERM) return fail(Error::last_os("fchmod", name));
    // Removing while reading may skip entries, so read again until a pass finds none.
    for (bool removed = true; removed;) {
        removed = false;
        if (::lseek(fd.get(), 0, SEEK_SET) < 0) return fail(Error::last_os("lseek", name));
        DirectoryReader reader(fd.get());
        for (;;) {
            SUB_TRY_ASSIGN(const auto* entry, reader.next());
            if (entry == nullptr) break;
            SUB_TRY(remove_tree_at(fd.get(), entry->name));
            removed = true;
        }
    }
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail(Error::last_os("rmdir", name));
    return {};
}

Result<DiskSpace> disk_space(int fd) {
    struct ::statvfs st{};
    if (::fstatvfs(fd, &st) != 0) return fail(Error::last_os("fstatvfs"));
    return DiskSpace{.bytes_left = st.f_bavail * st.f_frsize,
                     .bytes_total = st.f_blocks * st.f_frsize,
                     .files_left = st.f_favail,
                     .files_total = st.f_files};
}

Result<std::int64_t> file_system_magic(int fd) {
    struct ::statfs st{};
    if (::fstatfs(fd, &st) != 0) return fail(Error::last_os("fstatfs"));
    return static_cast<std::int64_t>(st.f_type);
}

Result<UniqueFd> make_memfd(const char* name, std::string_view content) {
    UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!fd) return fail(Error::last_os("memfd_create", name));
    SUB_TRY(write_all(fd.get(), content));
    if (::lseek(fd.get(), 0, SEEK_SET) < 0) return fail(Error::last_os("lseek", name));
    if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return fail(Error::last_os("fcntl F_ADD_SEALS", name));
    return fd;
}

}  // namespace substrate::sys
