#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::agent {

// A message of a WebSocket (RFC 6455), whole: a text is control, a binary one is a terminal's bytes.
struct StreamMessage {
    bool binary = false;
    std::string bytes;
};

// Why a WebSocket is closed: a code of RFC 6455, 7.4, or one above 4000 of our own.
struct StreamClose {
    std::uint16_t code = 1000;
    std::string reason;  // at most 123 bytes
};

// A WebSocket on its way between the server's thread and the thread of a terminal. Thread-safe. Both
// directions are bounded by asking first: the server reads no message while has_room_in() is false,
// the terminal none while has_room_out() is.
class StreamLink {
  public:
    static constexpr std::size_t kRoom = 256 * 1024;

    // `tell_server` is called in the terminal's thread when there is something to send, or to be read again.
    explicit StreamLink(std::function<void()> tell_server) : tell_server_(std::move(tell_server)) {}
    StreamLink(const StreamLink&) = delete;
    StreamLink& operator=(const StreamLink&) = delete;

    // The terminal's end. `wake` must stay valid until the next call; it is an eventfd, which gets readable
    // when a message has come, room has, or the client has gone. -1: nobody is woken.
    void wake_by(int wake);
    // The next message; with `control_only` the next that is text, past the others.
    std::optional<StreamMessage> receive(bool control_only = false);
    bool has_messages() const;
    bool gone() const;
    bool has_room_out();
    void send_text(std::string_view json);
    void send_bytes(std::string_view bytes);
    // After what was sent before.
    void close(StreamClose why);
    // How many terminal bytes have not been taken by the server yet.
    std::size_t unsent_bytes() const;

    // The server's end.
    bool has_room_in();
    void deliver(StreamMessage message);
    void abandon();
    struct Ready {
        std::optional<StreamMessage> message;
        std::optional<StreamClose> close;
    };
    Ready take();

  private:
    void wake_locked() const;
    void send(bool binary, std::string_view bytes);

    std::function<void()> tell_server_;
    mutable std::mutex mutex_;
    int wake_ = -1;
    std::deque<StreamMessage> in_, out_;
    std::size_t in_bytes_ = 0, out_bytes_ = 0;
    std::optional<StreamClose> close_;
    bool gone_ = false;
    bool wants_room_in_ = false, wants_room_out_ = false;
};

}  // namespace substrate::agent
