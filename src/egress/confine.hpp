#pragma once

#include "base/result.hpp"

namespace substrate::egress {

// What the gateway does without from here on, for good: it parses what hostile programs send, and whoever
// took it over has what it has left. Allowed are its own sockets (IPv4 and IPv6, TCP and UDP), reading below
// /etc where Landlock is there (the hosts file) and nowhere where it is not, and memory. Not: programs, other
// files, sockets of other families (the agent's own among them), processes. Refused calls fail with EPERM.
// With no_new_privs.
Result<> confine_gateway();

}  // namespace substrate::egress
