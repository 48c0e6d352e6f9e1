#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace substrate::sys {

// The absolute names of Unix sockets of the current net namespace, sorted, each once. `connected`: also of
// those that look so, each of which costs, with a name or without. Among them are datagram sockets that a
// client has connected to (unix_dgram_connect() in net/unix/af_unix.c), to which others may send all the
// same. Source: sock_diag(7). Errors: the kernel has no such list (CONFIG_UNIX_DIAG).
Result<std::vector<std::string>> bound_unix_names(bool connected);

}  // namespace substrate::sys
