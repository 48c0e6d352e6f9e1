#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "egress/client_hello.hpp"
#include "policy/host_name.hpp"

namespace substrate::egress {

// Whether a connection begins with what some server takes for an HTTP request line (RFC 9112 section 3).
// HTTP/2 without TLS is Reading::bad: whom its requests are for is not read here.
Reading begins_as_http(std::string_view bytes);

// Watches the requests of one connection, every one of them: each must be for `host` and `port`. What it
// cannot follow to the last byte is a problem, never let through: of two readers of one stream, the second
// must not find requests that the first has not seen. Pure.
class HttpRequests {
  public:
    HttpRequests(policy::Host host, std::uint16_t port) : host_(std::move(host)), port_(port) {}

    struct Step {
        std::size_t pass = 0;  // so many of the bytes may go on
        std::string problem;   // the connection must end
    };
    // `bytes` are those that have not gone on yet. A head goes on as a whole.
    Step take(std::string_view bytes);
    // Nothing goes on until the server has answered the wish for a WebSocket.
    bool waits_for_answer() const { return state_ == State::asked_to_change; }
    // The first bytes of that answer, as they came: one that does not begin with the whole status is no
    // consent.
    void answer(std::string_view bytes);

    static constexpr std::size_t kLongestHead = 64 * 1024;

  private:
    enum class State : std::uint8_t {
        head,
        body,
        chunk_size,
        chunk,
        chunk_end,
        trailer,
        asked_to_change,
        changed
    };
    struct Head;

    std::string read_head(std::string_view head);
    std::string read_target(std::string_view method, std::string_view target) const;
    std::string check_host(std::string_view authority) const;
    std::string read_chunk_size(std::string_view line);

    policy::Host host_;
    std::uint16_t port_;
    State state_ = State::head;
    std::uint64_t left_ = 0;  // of the body or chunk
    bool any_request_ = false;
};

}  // namespace substrate::egress
