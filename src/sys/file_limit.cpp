#include "sys/file_limit.hpp"

#include <sys/resource.h>

#include <utility>

namespace substrate::sys {

Result<std::uint64_t> raise_file_limit() {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return fail(Error::last_os("getrlimit RLIMIT_NOFILE"));
    const std::uint64_t before = std::exchange(files.rlim_cur, files.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return fail(Error::last_os("setrlimit RLIMIT_NOFILE"));
    return before;
}

}  // namespace substrate::sys
