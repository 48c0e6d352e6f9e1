#pragma once

#include <cstdint>

#include "base/result.hpp"

namespace substrate::sys {

// Raises this process's soft limit of open files (RLIMIT_NOFILE, getrlimit(2)) to the hard one. Returns what
// it was: programs that are not ours may rely on it, so it is given back to what they are started in.
Result<std::uint64_t> raise_file_limit();

}  // namespace substrate::sys
