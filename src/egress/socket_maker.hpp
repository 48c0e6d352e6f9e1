#pragma once

#include <string>

#include "base/result.hpp"

namespace substrate::egress {

// How the gateway gets sockets in a world's network, where it is not itself: from a process that has joined
// it and does nothing else. Asked by a byte over a SOCK_SEQPACKET socket, it answers with TCP sockets that
// are not connected: of version 4, and of version 6 where the machine has it.

// Waits until the init of a world, by its number and its pidfd, has a network of its own, joins that, with
// its user namespace where that is another, and confines the process for good to what serve_sockets() needs.
Result<> enter_world_network(const std::string& pid, int pidfd);
// Until `control` is closed by its peer.
Result<> serve_sockets(int control);

}  // namespace substrate::egress
