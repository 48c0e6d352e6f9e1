#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "egress/access_rules.hpp"
#include "egress/event_loop.hpp"
#include "egress/flow.hpp"
#include "egress/http_requests.hpp"
#include "sys/internet_socket.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::egress {

// Where a connection was meant to go, and what became of it.
struct ConnectionReport {
    std::string host;  // the name, or the address of a connection without one
    std::uint16_t port = 0;
    policy::NetVerdict verdict;
    std::string error;           // of one that was allowed: why it failed; empty: it did not
    std::uint64_t sent = 0;      // bytes of the world
    std::uint64_t received = 0;  // bytes for the world
};

// One connection of a world to one server: connects, looks at whom the first bytes are for, and relays. Every
// method that ends it calls `closed` once, as the last thing.
class Connection {
  public:
    struct Target {
        policy::Host host;
        std::uint16_t port = 0;
        std::vector<IpAddress> addresses;  // tried in turn
        policy::NetVerdict verdict;
        // Begins to connect to one of the addresses; empty: as anybody would, from our own network.
        std::function<Result<sys::UniqueFd>(const sys::Endpoint&)> connect = {};
    };
    // May be called during start().
    using Closed = std::function<void(ConnectionReport)>;

    // `loop` and `meter`, which the connections of a world share, must live longer.
    Connection(EventLoop& loop, sys::UniqueFd client, Target target, Meter& meter, Closed closed);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void start();
    const Target& target() const { return target_; }
    // Where it leads, or is about to; nullopt before that.
    std::optional<IpAddress> address() const {
        if (next_address_ == 0) return std::nullopt;
        return target_.addresses[next_address_ - 1];
    }
    // What has gone on so far, both directions together.
    std::uint64_t bytes() const { return (up_ ? up_->bytes() : 0) + (down_ ? down_->bytes() : 0); }
    // It has called `closed`, and nothing may be asked of it any more.
    bool ended() const { return ended_; }
    // Ends it with a reset to the world.
    void refuse(std::string reason);

  private:
    enum class Stage : std::uint8_t { connecting, looking, http, open };

    void connect_next();
    void connected(std::uint32_t events);
    void ready();
    bool move();
    bool look();
    bool look_at_http();
    bool read_client();
    bool answer_to_change();
    void wait_for_more();
    void set_interest(int fd, std::uint32_t events, std::uint32_t& current);
    void finish(std::string error, bool reset);

    EventLoop& loop_;
    sys::UniqueFd client_, server_;
    Target target_;
    Meter& meter_;
    Closed closed_;
    Stage stage_ = Stage::connecting;
    std::size_t next_address_ = 0;
    std::string last_error_;
    std::optional<Flow> up_, down_;
    std::string held_;  // of the client, not looked at yet
    bool client_ended_ = false;
    std::optional<HttpRequests> requests_;
    std::uint32_t client_events_ = 0, server_events_ = 0;
    EventLoop::Timer timer_ = 0;
    bool ended_ = false;
    bool throttled_ = false;    // what the client sends has to wait for the meter
    std::uint64_t waiter_ = 0;  // at the meter
};

}  // namespace substrate::egress
