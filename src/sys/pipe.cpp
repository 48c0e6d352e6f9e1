#include "sys/pipe.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace substrate::sys {

Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail(Error::last_os("pipe2"));
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

TeeResult tee_pipe(int from, int to, std::size_t size) {
    ssize_t n = -1;
    do n = ::tee(from, to, size, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0) return {0, errno};
    return {static_cast<std::size_t>(n), 0};
}

}  // namespace substrate::sys
