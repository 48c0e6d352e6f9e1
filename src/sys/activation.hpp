#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// A socket on which a service manager listens for us.
struct PassedSocket {
    UniqueFd fd;       // close-on-exec
    std::string path;  // its address
};

// Takes the descriptors of sd_listen_fds(3): from 3 on, as many as LISTEN_FDS says, where LISTEN_PID is
// this process. To be called once, before anything else opens descriptors. Errc::invalid
// when one of them is no listening Unix stream socket with a path.
Result<std::vector<PassedSocket>> take_passed_sockets(const Env& env);

// Sends `state` ("READY=1", "STOPPING=1") to the service manager, as sd_notify(3). Does nothing
// where NOTIFY_SOCKET is not set.
Result<> notify_manager(const Env& env, std::string_view state);

}  // namespace substrate::sys
