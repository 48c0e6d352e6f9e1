#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace substrate::sys {

// The absolute names of Unix sockets of the current net namespace, each once. A socket without a name costs a
// fraction of its line in /proc/net/unix. Source: sock_diag(7). Errors: the kernel has no such list (CONFIG_UNIX_DIAG).
Result<std::vector<std::string>> bound_unix_names();

}  // namespace substrate::sys
