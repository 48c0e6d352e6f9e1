#include "sys/process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "sys/file.hpp"

// Names of the linker, not ours: end(3).
// NOLINTNEXTLINE(bugprone-reserved-identifier,readability-identifier-naming)
extern "C" const char __executable_start;
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" const char etext;

namespace substrate::sys {

mode_t current_umask() {
    const mode_t mask = ::umask(077);
    ::umask(mask);
    return mask;
}

std::optional<pid_t> parent_process(pid_t pid) {
    // "pid (name) state parent …", and a name may hold anything but ends last.
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    if (!stat) return std::nullopt;
    const std::size_t after = stat->rfind(") ");
    if (after == std::string::npos || after + 4 >= stat->size()) return std::nullopt;
    return static_cast<pid_t>(std::strtol(stat->c_str() + after + 4, nullptr, 10));
}

void drop_program_pages() {
    // SAFETY: nothing below etext is ever written, so that a private mapping of it holds
    // nothing that the file does not. A failure costs memory and nothing else.
    const auto page = static_cast<std::uintptr_t>(::getpagesize());
    const char* begin = &__executable_start;
    begin -= reinterpret_cast<std::uintptr_t>(begin) % page;
    const auto length = static_cast<std::size_t>(&etext - begin) / page * page;
    (void)::madvise(const_cast<char*>(begin), length, MADV_DONTNEED);
}

void ensure_standard_streams() {
    // open(2) takes the lowest free descriptor.
    for (int fd = 0; fd < 3; ++fd)
        if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY);
}

}  // namespace substrate::sys
