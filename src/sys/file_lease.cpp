#include "sys/file_lease.hpp"

#include <fcntl.h>
#include <signal.h>

namespace substrate::sys {

Result<FileLease> FileLease::for_reading(int fd) {
    // A writer that arrives is told of by a signal, whose default would end the process:
    // SIGURG's is to be ignored.
    if (::fcntl(fd, F_SETSIG, SIGURG) != 0) return FileLease(-1);
    if (::fcntl(fd, F_SETLEASE, F_RDLCK) == 0) return FileLease(fd);
    if (errno == EAGAIN) return fail({Errc::conflict, "it is open for writing"});
    return FileLease(-1);
}

FileLease::~FileLease() {
    if (fd_ >= 0) (void)::fcntl(fd_, F_SETLEASE, F_UNLCK);
}

}  // namespace substrate::sys
