#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "codec/frame.hpp"
#include "codec/json_value.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::supervisor {

// One connection of the control protocol, either side. Blocking; not
// thread-safe.
class Channel {
  public:
    explicit Channel(sys::UniqueFd socket) : socket_(std::move(socket)), reader_(kMaxMessage) {}

    int fd() const { return socket_.get(); }
    Result<> send(const Json& message, std::span<const int> fds = {});
    // The next message; nullopt when the peer has closed. Descriptors that came
    // with it wait in take_fds().
    Result<std::optional<Json>> receive();
    // True when a message may be had without waiting for the socket.
    bool has_buffered() const { return reader_.pending() > 0; }
    std::vector<sys::UniqueFd> take_fds() { return std::move(fds_); }

    // Larger than the protocol's usual cap: a command line may have 1 MiB.
    static constexpr std::size_t kMaxMessage = 8u << 20;

  private:
    sys::UniqueFd socket_;
    FrameReader reader_;
    std::vector<sys::UniqueFd> fds_;
};

}  // namespace substrate::supervisor
