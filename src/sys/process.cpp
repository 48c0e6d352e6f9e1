#include "sys/process.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace substrate::sys {

mode_t current_umask() {
    const mode_t mask = ::umask(077);
    ::umask(mask);
    return mask;
}

void ensure_standard_streams() {
    // open(2) takes the lowest free descriptor.
    for (int fd = 0; fd < 3; ++fd)
        if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

}  // namespace substrate::sys
