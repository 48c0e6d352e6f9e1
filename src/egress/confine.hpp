#pragma once

#include "base/result.hpp"

namespace substrate::egress {

// What the gateway does without from here on, for good: it parses what hostile programs send, and whoever
// took it over has what it has left. Allowed are its own sockets (IPv4 and IPv6, TCP and UDP), reading below
// /etc where Landlock is there (the hosts file) and nowhere where it is not, and memory. Not: programs, other
// files, sockets of other families (the agent's own among them), processes. Refused calls fail with EPERM.
// With no_new_privs.
Result<> confine_gateway();

// The same for the process that makes sockets in a world's network (socket_maker.hpp): it can make TCP
// sockets and send them, and neither connect nor open anything.
Result<> confine_socket_maker();

}  // namespace substrate::egress
