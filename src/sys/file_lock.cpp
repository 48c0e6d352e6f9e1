#include "sys/file_lock.hpp"

#include <sys/file.h>

namespace substrate::sys {
namespace {

Result<> lock(int fd, int operation) {
    int status = -1;
    do status = ::flock(fd, operation);
    while (status != 0 && errno == EINTR);
    if (status != 0) return fail(Error::last_os("flock"));
    return {};
}

}  // namespace

Result<FileLock> FileLock::exclusive(int fd) {
    SUB_TRY(lock(fd, LOCK_EX));
    return FileLock(fd);
}

Result<FileLock> FileLock::shared(int fd) {
    SUB_TRY(lock(fd, LOCK_SH));
    return FileLock(fd);
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
    release();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
}

void FileLock::release() {
    if (const int fd = std::exchange(fd_, -1); fd >= 0) ::flock(fd, LOCK_UN);
}

Result<bool> try_lock(int fd) {
    if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    return fail(Error::last_os("flock"));
}

}  // namespace substrate::sys
