#include "broker/policy_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include "base/paths.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/file_lease.hpp"
#include "sys/namespace.hpp"

namespace substrate::broker {
namespace {

constexpr int kAttempts = 20;
// A command that keeps a project's file open must not hold up the others for long.
constexpr int kProjectAttempts = 2;
constexpr int kPauseMs = 10;

FileStamp to_stamp(const struct ::statx& st) {
    return {.device = sys::device_of(st),
            .inode = st.stx_ino,
            .size = st.stx_size,
            .mtime_ns = sys::to_ns(st.stx_mtime),
            .ctime_ns = sys::to_ns(st.stx_ctime)};
}

// Stands for a place that cannot be looked at. No file has this device.
FileStamp unseen(int error) {
    return {.device = ~std::uint64_t{0}, .inode = static_cast<std::uint64_t>(error)};
}

Error refused(const std::string& path, const std::string& what, std::string advice) {
    return Error(Errc::safety, "'" + printable(path) + "' " + what).hint(std::move(advice));
}

// In a user namespace the files of accounts outside it all seem to be nobody's.
bool is_root(std::uint32_t uid) { return uid == 0 || uid == sys::unmapped_uid(); }

Result<> check_owner(const std::string& path, const struct ::statx& st, Ground ground, std::uint32_t uid) {
    const bool believed = is_root(st.stx_uid) || (ground == Ground::own && st.stx_uid == uid);
    if (!believed)
        return fail(refused(path, "belongs to another account (uid " + std::to_string(st.stx_uid) + ")",
                            ground == Ground::system ? "chown root it" : "chown it, or remove it"));
    if ((st.stx_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.stx_mode & S_ISVTX) == 0)
        return fail(refused(path, "can be written by other accounts", "chmod go-w it"));
    return {};
}

Result<> check_kind(const std::string& path, const struct ::statx& st) {
    if (S_ISREG(st.stx_mode)) return {};
    return fail(refused(path, S_ISDIR(st.stx_mode) ? "is a directory" : "is not a regular file",
                        "put a file there, or remove it"));
}

// One attempt. Errc::conflict: somebody writes it just now.
Result<FileText> read_once(int fd, const std::string& path) {
    SUB_TRY_ASSIGN(const sys::FileLease lease, sys::FileLease::for_reading(fd));
    SUB_TRY_ASSIGN(const auto before, sys::stat_fd(fd));
    if (before.stx_size > kMaxPolicyBytes)
        return fail(
            Error(Errc::invalid, "'" + printable(path) + "' is larger than 8 MiB").hint("make it smaller"));
    SUB_TRY_ASSIGN(std::string text, sys::read_to_end(fd, kMaxPolicyBytes));
    if (!lease.held()) (void)::poll(nullptr, 0, kPauseMs);
    SUB_TRY_ASSIGN(const auto after, sys::stat_fd(fd));
    if (to_stamp(before) != to_stamp(after) || text.size() != after.stx_size)
        return fail({Errc::conflict, "it changed while it was read"});
    return FileText{std::move(text), to_stamp(after)};
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::string& path) {
    struct ::statx st{};
    const auto look = [&](int flags) {
        return ::statx(AT_FDCWD, path.c_str(), flags | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &st) == 0
                   ? 0
                   : errno;
    };
    // Most of them are absent, and one call says so.
    if (const int error = look(AT_SYMLINK_NOFOLLOW); error != 0)
        return error == ENOENT || error == ENOTDIR ? std::nullopt : std::optional(unseen(error));
    if (!S_ISLNK(st.stx_mode)) return to_stamp(st);
    const FileStamp link = to_stamp(st);
    const int error = look(0);
    if (error == 0) return to_stamp(st);
    // A link that leads nowhere is there all the same.
    return error == ENOENT || error == ENOTDIR ? link : unseen(error);
}

Result<std::optional<FileText>> read_policy_file(const std::string& path, Ground ground, std::uint32_t uid) {
    // O_NONBLOCK: the open of a FIFO must not wait for a writer.
    const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (ground == Ground::project ? O_NOFOLLOW : 0);
    for (int attempt = 0;; ++attempt) {
        auto fd = sys::open_path(path, flags);
        if (!fd) {
            const int error = fd.error().os_errno();
            const auto stamp = stamp_of(path);
            if (error == ENOENT || error == ENOTDIR) {
                if (!stamp) return std::optional<FileText>();
                return fail(refused(path, "is a link that leads nowhere", "put a file there, or remove it"));
            }
            if (ground == Ground::project && stamp == unseen(EACCES))
                return fail(Error(Errc::denied, "'" + printable(path) + "' cannot be looked at"));
            if (error == ELOOP)
                return fail(refused(path, "is a link, or leads in a circle", "put a file there"));
            return fail(std::move(fd).error().hint("make it readable, or remove it"));
        }
        SUB_TRY_ASSIGN(const auto st, sys::stat_fd(fd->get()));
        SUB_TRY(check_kind(path, st));
        if (ground == Ground::project) {
            if (st.stx_uid != uid && !is_root(st.stx_uid))
                return fail(Error(Errc::denied, "'" + printable(path) + "' belongs to another account"));
        } else {
            SUB_TRY(check_owner(path, st, ground, uid));
            const std::string directory(parent_of(path));
            SUB_TRY_ASSIGN(const sys::UniqueFd parent, sys::open_path(directory, O_PATH | O_DIRECTORY));
            SUB_TRY_ASSIGN(const auto around, sys::stat_fd(parent.get()));
            SUB_TRY(check_owner(directory, around, ground, uid));
        }
        auto text = read_once(fd->get(), path);
        if (text) return std::optional<FileText>(std::move(*text));
        if (text.error().code() != Errc::conflict) return fail(std::move(text).error());
        if (attempt == (ground == Ground::project ? kProjectAttempts : kAttempts))
            return fail(
                Error(Errc::conflict, "'" + printable(path) + "' is being written").hint("try again"));
        (void)::poll(nullptr, 0, kPauseMs);
    }
}

}  // namespace substrate::broker
