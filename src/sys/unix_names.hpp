#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace substrate::sys {

// The absolute names of Unix sockets of the current net namespace that somebody may connect or send to:
// connected ones have no place for another. The cost hardly depends on how many those are. Source:
// sock_diag(7). Errors: the kernel has no such list (CONFIG_UNIX_DIAG).
Result<std::vector<std::string>> bound_unix_names();

}  // namespace substrate::sys
