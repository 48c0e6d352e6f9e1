#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::world {

// One message of the init protocol. The first byte says whether the payload
// follows or lies in a memfd, which is then the last descriptor.
struct Packet {
    std::string payload;
    std::vector<sys::UniqueFd> fds;
    bool closed = false;  // the peer is gone
};

Result<> send_packet(int socket, const std::string& payload, std::span<const int> fds);
Result<Packet> receive_packet(int socket);

}  // namespace substrate::world
