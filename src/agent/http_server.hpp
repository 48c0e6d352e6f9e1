#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "agent/exchange.hpp"
#include "agent/http_rules.hpp"
#include "agent/stream_link.hpp"
#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::agent {

struct ServerLimits {
    std::uint32_t header_bytes = 16 * 1024;
    std::uint64_t body_bytes = 10 << 20;
    std::int64_t idle_ms = 300'000;  // between two requests of a connection
    std::int64_t read_ms = 30'000;   // from a request's first byte to its last, for header and body each
    std::int64_t write_ms = 60'000;  // for a whole answer, or for one piece of it
    int connections = 384;           // of each entrance: who fills one keeps nobody out of another
};

// A listening socket, and who is let in there.
struct Entrance {
    sys::UniqueFd listener;
    std::uint32_t uid = 0;         // of a Unix socket: only peers of this user are served
    std::optional<Access> access;  // of a TCP socket: what each request must show
};

// What has happened since the start.
struct ServerCounts {
    std::atomic<std::uint64_t> connections = 0;
    std::atomic<int> open = 0;
    std::array<std::atomic<std::uint64_t>, 600> answers{};  // by status
};

// HTTP/1.1 over Unix and TCP sockets (RFC 9112): one thread of its own, keep-alive, a bound and a
// deadline for everything that a client sends or should take. Requests that are ambiguous, or that
// a web page may have caused, are refused before anybody sees them.
class HttpServer {
  public:
    // Called in the server's thread, so it must not wait; the answer may come later.
    using Handler = std::function<void(HttpRequest&&, std::shared_ptr<Exchange>)>;

    // A WebSocket with its first message; called as Handler is.
    using StreamHandler = std::function<void(std::shared_ptr<StreamLink>, StreamMessage, const Peer&)>;

    // Takes over the listening sockets.
    static Result<std::unique_ptr<HttpServer>> start(std::vector<Entrance> entrances,
                                                     const ServerLimits& limits, Handler handler,
                                                     StreamHandler on_stream);
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Takes no connection and no request any more; waits for the answers that are under way.
    void close();
    const ServerCounts& counts() const;
    struct Core;  // keeps Boost's headers out of this one

  private:
    explicit HttpServer(std::unique_ptr<Core> core);
    std::unique_ptr<Core> core_;
};

}  // namespace substrate::agent
