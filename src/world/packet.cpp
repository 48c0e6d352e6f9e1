#include "world/packet.hpp"

#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "world/init_protocol.hpp"

namespace substrate::world {
namespace {

constexpr char kInline = 'i';
constexpr char kMemfd = 'm';

}  // namespace

Result<> send_packet(int socket, const std::string& payload, std::span<const int> fds) {
    if (payload.size() <= kMaxInline) return sys::send_message(socket, kInline + payload, fds);
    if (payload.size() > kMaxMessage)
        return fail({Errc::invalid, "arguments and environment of " + std::to_string(payload.size()) +
                                        " bytes are too long"});
    SUB_TRY_ASSIGN(const sys::UniqueFd memfd, sys::make_memfd("substrate-message", payload));
    std::vector<int> all(fds.begin(), fds.end());
    all.push_back(memfd.get());
    return sys::send_message(socket, std::string(1, kMemfd), all);
}

Result<Packet> receive_packet(int socket) {
    Packet packet;
    std::string buffer(kMaxInline + 1, '\0');
    auto received = sys::receive_message(socket, buffer);
    // A peer that died with messages of ours unread resets the connection.
    if (!received && received.error().os_errno() == ECONNRESET) {
        packet.closed = true;
        return packet;
    }
    if (!received) return fail(std::move(received).error());
    if (received->size == 0) {
        packet.closed = true;
        return packet;
    }
    packet.fds = std::move(received->fds);
    if (buffer[0] == kInline) {
        packet.payload.assign(buffer, 1, received->size - 1);
        return packet;
    }
    if (buffer[0] != kMemfd || packet.fds.empty()) return fail({Errc::invalid, "malformed packet"});
    SUB_TRY_ASSIGN(packet.payload, sys::read_to_end(packet.fds.back().get(), kMaxMessage));
    packet.fds.pop_back();
    return packet;
}

}  // namespace substrate::world
