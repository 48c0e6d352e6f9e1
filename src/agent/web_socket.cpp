#include "agent/web_socket.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <chrono>

namespace substrate::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol>;
using Clock = std::chrono::steady_clock;

// Errors come back as values: nothing throws across a suspension.
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::int64_t kCloseMs = 2'000;  // for the client's part of closing

std::chrono::milliseconds ms(std::int64_t count) { return std::chrono::milliseconds(count); }

// One connection: two coroutines move messages, one looks at the clock. All in one thread.
class WebSocket : public std::enable_shared_from_this<WebSocket> {
  public:
    using Begin = std::function<void(std::shared_ptr<StreamLink>, StreamMessage)>;
    WebSocket(Stream& stream, const WebSocketLimits& limits, Begin begin)
        : socket_(stream),
          limits_(limits),
          begin_(std::move(begin)),
          news_(stream.get_executor()),
          room_(stream.get_executor()),
          tick_(stream.get_executor()) {
        news_.expires_at(Clock::time_point::max());
        room_.expires_at(Clock::time_point::max());
    }

    asio::awaitable<void> serve(http::request<http::string_body> head);

  private:
    asio::awaitable<void> read_all();
    asio::awaitable<void> write_all();
    asio::awaitable<void> close(StreamClose why);
    asio::awaitable<void> watch();
    void make_link();
    void drop();

    websocket::stream<Stream&> socket_;
    WebSocketLimits limits_;
    Begin begin_;
    std::shared_ptr<StreamLink> link_;
    asio::steady_timer news_;  // cancelled when there is something to send
    asio::steady_timer room_;  // cancelled when messages can be taken again
    asio::steady_timer tick_;
    Clock::time_point started_ = Clock::now(), heard_ = Clock::now(), wrote_ = Clock::now();
    bool first_ = true;
    bool reading_ = false;
    bool writing_ = false;
    bool hung_up_ = false;  // what the client has sent is still to be read
    bool dropped_ = false;
    int running_ = 0;
};

void WebSocket::make_link() {
    link_ = std::make_shared<StreamLink>([weak = weak_from_this(), executor = socket_.get_executor()] {
        asio::post(executor, [weak] {
            const auto self = weak.lock();
            if (!self) return;
            self->news_.cancel();
            self->room_.cancel();
        });
    });
}

void WebSocket::drop() {
    if (dropped_) return;
    dropped_ = true;
    link_->abandon();
    socket_.next_layer().close();
    news_.cancel();
    room_.cancel();
    tick_.cancel();
}

asio::awaitable<void> WebSocket::serve(http::request<http::string_body> head) {
    make_link();
    // Deadlines are ours: while the terminal takes nothing we do not read, and hear no pong either.
    socket_.set_option(websocket::stream_base::timeout{.handshake_timeout = ms(limits_.first_ms),
                                                       .idle_timeout = websocket::stream_base::none(),
                                                       .keep_alive_pings = false});
    socket_.set_option(websocket::stream_base::decorator(
        [](websocket::response_type& response) { response.set(http::field::server, "substrate"); }));
    socket_.read_message_max(limits_.message_bytes);
    socket_.auto_fragment(false);
    socket_.next_layer().expires_never();
    const auto [refused] = co_await socket_.async_accept(head, kAwait);
    if (refused) co_return;
    socket_.control_callback([this](websocket::frame_type, beast::string_view) { heard_ = Clock::now(); });
    // Also of a client that goes while nothing is read from it.
    socket_.next_layer().socket().async_wait(Protocol::socket::wait_error,
                                             [weak = weak_from_this()](error_code aborted) {
                                                 const auto self = weak.lock();
                                                 if (aborted || !self) return;
                                                 self->hung_up_ = true;
                                                 if (!self->reading_) self->drop();
                                             });
    running_ = 2;
    const auto executor = socket_.get_executor();
    asio::co_spawn(executor, [self = shared_from_this()] { return self->write_all(); }, asio::detached);
    asio::co_spawn(executor, [self = shared_from_this()] { return self->watch(); }, asio::detached);
    co_await read_all();
    drop();
    // The others refer to the connection's stream.
    asio::steady_timer end(executor);
    while (running_ > 0) {
        end.expires_after(ms(1));
        (void)co_await end.async_wait(kAwait);
    }
}

asio::awaitable<void> WebSocket::read_all() {
    beast::flat_buffer buffer;
    while (!dropped_) {
        while (!link_->has_room_in() && !dropped_ && !hung_up_) (void)co_await room_.async_wait(kAwait);
        heard_ = Clock::now();
        reading_ = true;
        const auto [failed, n] = co_await socket_.async_read(buffer, kAwait);
        reading_ = false;
        (void)n;
        if (failed) co_return;
        heard_ = Clock::now();
        const auto data = buffer.cdata();
        StreamMessage message{.binary = socket_.got_binary(),
                              .bytes = std::string(static_cast<const char*>(data.data()), data.size())};
        buffer.consume(buffer.size());
        if (std::exchange(first_, false)) begin_(link_, std::move(message));
        else link_->deliver(std::move(message));
    }
}

asio::awaitable<void> WebSocket::write_all() {
    while (!dropped_) {
        StreamLink::Ready ready = link_->take();
        if (ready.message) {
            socket_.text(!ready.message->binary);
            wrote_ = Clock::now();
            writing_ = true;
            const auto [failed, n] = co_await socket_.async_write(asio::buffer(ready.message->bytes), kAwait);
            writing_ = false;
            (void)n;
            if (failed) break;
            continue;
        }
        if (ready.close) {
            co_await close(std::move(*ready.close));
            break;
        }
        (void)co_await news_.async_wait(kAwait);
    }
    drop();
    --running_;
}

// The client may never answer, and may still be sending.
asio::awaitable<void> WebSocket::close(StreamClose why) {
    asio::steady_timer limit(socket_.get_executor());
    limit.expires_after(ms(kCloseMs));
    limit.async_wait([weak = weak_from_this()](error_code aborted) {
        const auto self = weak.lock();
        if (!aborted && self) self->drop();
    });
    (void)co_await socket_.async_close(
        websocket::close_reason(static_cast<websocket::close_code>(why.code), why.reason), kAwait);
}

asio::awaitable<void> WebSocket::watch() {
    while (!dropped_) {
        tick_.expires_after(ms(std::min(limits_.idle_ms, limits_.write_ms) / 2));
        (void)co_await tick_.async_wait(kAwait);
        if (dropped_) break;
        const auto now = Clock::now();
        const bool slow = writing_ && now - wrote_ > ms(limits_.write_ms);
        const bool silent = reading_ && now - heard_ > ms(2 * limits_.idle_ms);
        if (slow || silent || (first_ && now - started_ > ms(limits_.first_ms))) break;
        if (now - heard_ < ms(limits_.idle_ms)) continue;
        const auto [failed] = co_await socket_.async_ping({}, kAwait);
        if (failed) break;
    }
    drop();
    --running_;
}

}  // namespace

asio::awaitable<void> serve_web_socket(Stream& stream, http::request<http::string_body> head,
                                       WebSocketLimits limits, WebSocket::Begin begin) {
    const auto socket = std::make_shared<WebSocket>(stream, limits, std::move(begin));
    co_await socket->serve(std::move(head));
}

}  // namespace substrate::agent
