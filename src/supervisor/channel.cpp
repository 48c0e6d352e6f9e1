#include "supervisor/channel.hpp"

#include <iterator>

#include "codec/cbor.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {

Result<> Channel::send(const Json& message, std::span<const int> fds) {
    return sys::send_message(socket_.get(), frame(to_cbor(message)), fds);
}

Result<std::optional<Json>> Channel::receive() {
    char buffer[16 * 1024];
    for (;;) {
        SUB_TRY_ASSIGN(std::optional<std::string> payload, reader_.take());
        if (payload) {
            SUB_TRY_ASSIGN(Json json, from_cbor(*payload, {.max_bytes = kMaxMessage, .max_depth = 64}));
            if (!json.is_object()) return fail({Errc::invalid, "a message that is not an object"});
            return std::optional(std::move(json));
        }
        auto received = sys::receive_message(socket_.get(), buffer);
        if (!received && received.error().os_errno() == ECONNRESET) return std::optional<Json>();
        if (!received) return fail(std::move(received).error());
        if (received->size == 0) {
            if (reader_.pending() > 0)
                return fail({Errc::unavailable, "the connection ended within a message"});
            return std::optional<Json>();
        }
        std::ranges::move(received->fds, std::back_inserter(fds_));
        if (fds_.size() > sys::kMaxPassedFds) return fail({Errc::invalid, "too many descriptors"});
        reader_.feed({buffer, received->size});
    }
}

}  // namespace substrate::supervisor
