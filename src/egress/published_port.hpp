#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "egress/connection.hpp"
#include "egress/event_loop.hpp"
#include "egress/meter.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::egress {

// A port of a world's loopback that somebody on the host can connect to: passes each connection of the
// listeners on to it.
class PublishedPort {
  public:
    using Closed = std::function<void(const ConnectionReport&)>;
    // `maker`: socket_maker.hpp. `loop` must live longer. `closed` is called at the end of each connection
    // that was passed on, never by the destructor.
    static Result<std::unique_ptr<PublishedPort>> make(EventLoop& loop, std::uint16_t port,
                                                       sys::UniqueFd maker,
                                                       std::vector<sys::UniqueFd> listeners, Closed closed);
    ~PublishedPort();
    PublishedPort(const PublishedPort&) = delete;
    PublishedPort& operator=(const PublishedPort&) = delete;

    static constexpr std::size_t kMostConnections = 512;

  private:
    PublishedPort(EventLoop& loop, std::uint16_t port, sys::UniqueFd maker,
                  std::vector<sys::UniqueFd> listeners, Closed closed);
    void accept(int listener);
    void take_sockets();
    void begin(sys::UniqueFd client, std::vector<sys::UniqueFd> sockets);
    void ended(std::uint64_t number, const ConnectionReport& report);

    EventLoop& loop_;
    std::uint16_t port_;
    sys::UniqueFd maker_;
    std::vector<sys::UniqueFd> listeners_;
    Closed closed_;
    Meter unlimited_;
    std::deque<sys::UniqueFd> waiting_;  // for a socket in the world
    std::uint64_t next_ = 0;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    // Timers outlive this object, and look here first.
    std::shared_ptr<PublishedPort*> self_;
};

}  // namespace substrate::egress
