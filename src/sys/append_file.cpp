#include "sys/append_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file.hpp"

namespace substrate::sys {
namespace {

// Takes back the `written` bytes of a write that was cut short.
void undo_append(int fd, std::size_t written) {
    // After an O_APPEND write the file offset is the end of what it wrote.
    const off_t end = ::lseek(fd, 0, SEEK_CUR);
    struct ::stat st{};
    const bool last = end >= 0 && ::fstat(fd, &st) == 0 && st.st_size == end;
    if (last && ::ftruncate(fd, end - static_cast<off_t>(written)) == 0) return;
    [[maybe_unused]] const ssize_t ignored = ::write(fd, "\n", 1);
}

}  // namespace

Result<UniqueFd> open_append_at(int dir, const std::string& name) {
    // O_NONBLOCK: a planted FIFO must not make the open wait.
    auto opened = open_at(dir, name, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (!opened && opened.error().os_errno() == ELOOP)
        return fail(Error(Errc::safety, "'" + name + "' is a symbolic link").hint("remove it"));
    SUB_TRY_ASSIGN(UniqueFd fd, std::move(opened));
    struct ::stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail(Error::last_os("fstat", name));
    if (!S_ISREG(st.st_mode)) return fail({Errc::safety, "'" + name + "' is not a regular file"});
    if (st.st_uid != ::geteuid())
        return fail({Errc::safety, "'" + name + "' belongs to uid " + std::to_string(st.st_uid)});
    if ((st.st_mode & 07777) != 0600 && ::fchmod(fd.get(), 0600) != 0)
        return fail(Error::last_os("fchmod", name));
    return fd;
}

Result<> append_once(int fd, std::string_view bytes) {
    ssize_t n = -1;
    do n = ::write(fd, bytes.data(), bytes.size());
    while (n < 0 && errno == EINTR);
    if (n == static_cast<ssize_t>(bytes.size())) return {};
    if (n < 0) return fail(Error::last_os("write"));
    undo_append(fd, static_cast<std::size_t>(n));
    return fail(Error::from_os(ENOSPC, "write was cut short"));
}

Result<> reserve_space_at(int dir, const std::string& name, std::uint64_t bytes) {
    SUB_TRY_ASSIGN(const UniqueFd fd, open_append_at(dir, name));
    struct ::stat st{};
    if (::fstat(fd.get(), &st) != 0) return fail(Error::last_os("fstat", name));
    if (st.st_size >= static_cast<off_t>(bytes)) return {};
    if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0) return {};
    const Error failed = Error::last_os("fallocate", name);
    if (::ftruncate(fd.get(), 0) != 0) return fail(Error::last_os("ftruncate", name));
    return fail(failed);
}

Result<> sync_data(int fd) {
    if (::fdatasync(fd) != 0) return fail(Error::last_os("fdatasync"));
    return {};
}

Result<std::size_t> read_at(int fd, std::span<char> buffer, std::uint64_t offset) {
    std::size_t done = 0;
    while (done < buffer.size()) {
        const ssize_t n =
            ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("pread"));
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return done;
}

Result<> touch_at(int dir, const std::string& name) {
    if (::utimensat(dir, name.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(Error::last_os("utimensat", name));
    return {};
}

}  // namespace substrate::sys
