#include "sys/process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

extern "C" {
extern const char __executable_start, etext;  // of the linker: end(3)
}

namespace substrate::sys {

mode_t current_umask() {
    const mode_t mask = ::umask(077);
    ::umask(mask);
    return mask;
}

void drop_program_pages() {
    // SAFETY: nothing below etext is ever written, so that a private mapping of it holds
    // nothing that the file does not. A failure costs memory and nothing else.
    const auto page = static_cast<std::uintptr_t>(::getpagesize());
    const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start) & ~(page - 1);
    const auto end = reinterpret_cast<std::uintptr_t>(&etext) & ~(page - 1);
    (void)::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void ensure_standard_streams() {
    // open(2) takes the lowest free descriptor.
    for (int fd = 0; fd < 3; ++fd)
        if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

}  // namespace substrate::sys
