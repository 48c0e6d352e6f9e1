#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"

// Sockets of the host that have a name in its file system. A mount that is read-only does not
// keep anybody from connecting to one.
namespace substrate::world {

// Pure. The absolute names in the text of /proc/net/unix (proc_pid_net(5)): who has bound one by a
// relative name is not to be found.
std::vector<std::string> bound_names(std::string_view text);

// The same of this moment, in our network namespace, sorted; from that text only where the kernel does not
// tell it otherwise. Connected sockets, of which the agent has many, are looked at when that was done longer
// than `connected_after` ago: what is missing until then was bound and connected to since. Thread-safe.
Result<std::vector<std::string>> bound_socket_names(
    std::chrono::nanoseconds connected_after = std::chrono::seconds(1));

// Whether worlds can be shown the sockets that a policy names: each must be one, at this very path, and
// belong to `uid` or to root.
std::vector<plan::NamedSocket> look_at_sockets(const std::vector<std::string>& paths, std::uint32_t uid);

// Those of our network namespace that are there now, as sockets, by their real paths; sorted, each once.
// Errors: the list cannot be read.
Result<std::vector<std::string>> host_sockets();

}  // namespace substrate::world
