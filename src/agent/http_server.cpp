#include "agent/http_server.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <list>
#include <set>
#include <thread>

#include "agent/http_rules.hpp"
#include "agent/problem.hpp"
#include "agent/web_socket.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"

namespace substrate::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;  // one code for Unix and TCP sockets
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using Stream = beast::basic_stream<Protocol>;

// Errors come back as values: nothing throws across a suspension.
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::size_t kBufferSize = 128 * 1024;  // of what has arrived and is not parsed
constexpr std::ptrdiff_t kTrailers = 16;         // fields behind a chunked body
constexpr std::size_t kDropped = 32u << 20;      // of what a refused client still sends

std::chrono::milliseconds ms(std::int64_t count) { return std::chrono::milliseconds(count); }

std::vector<std::string> values_of(const http::fields& fields, http::field name) {
    std::vector<std::string> values;
    const auto [begin, end] = fields.equal_range(name);
    for (auto it = begin; it != end; ++it) values.emplace_back(it->value());
    return values;
}

// An entrance and who has come in there.
struct Gate {
    Gate(asio::io_context& io, Entrance of) : entrance(std::move(of)), acceptor(io) {}
    Entrance entrance;
    Acceptor acceptor;
    int open = 0;
};

}  // namespace

class Connection;

struct HttpServer::Core {
    Core(const ServerLimits& of, Handler to, StreamHandler streams)
        : limits(of), handler(std::move(to)), on_stream(std::move(streams)) {}

    ServerLimits limits;
    Handler handler;
    StreamHandler on_stream;
    ServerCounts counts;
    asio::io_context io{1};
    std::list<Gate> gates;
    std::set<Connection*> connections;
    bool closing = false;
    std::jthread thread;

    Result<> open(Entrance entrance);
    asio::awaitable<void> accept_all(Gate& gate);
    void take_in(Gate& gate, Protocol::socket socket);
};

// One client. Lives in its coroutine; everything of it happens in the server's thread.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    Connection(HttpServer::Core& core, Gate& gate, Protocol::socket socket, Peer peer);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    asio::awaitable<void> serve();
    // Of one that waits for its client's next request, or the rest of it.
    void close_if_idle();

  private:
    using Parser = http::request_parser<http::string_body>;

    asio::awaitable<bool> await_request();
    asio::awaitable<bool> read_request();
    asio::awaitable<error_code> read_body();
    std::optional<HttpResponse> refusal();
    std::optional<HttpResponse> refusal_of(error_code failed) const;
    asio::awaitable<bool> answer();
    void watch_client();
    asio::awaitable<bool> send_ready();
    asio::awaitable<void> switch_protocols();
    asio::awaitable<bool> send_whole(HttpResponse response);
    asio::awaitable<bool> send_head(HttpResponse response);
    asio::awaitable<bool> send_piece(std::string bytes, bool last);
    asio::awaitable<void> refuse(HttpResponse response);
    http::response<http::empty_body> head_of(const HttpResponse& response);

    HttpServer::Core& core_;
    Gate& gate_;
    Stream stream_;
    Peer peer_;
    asio::steady_timer news_;  // cancelled when the exchange has something to send
    beast::flat_buffer buffer_{kBufferSize};
    std::optional<Parser> parser_;
    std::shared_ptr<Exchange> exchange_;
    bool known_;         // it may rest; over TCP once it has shown the token
    bool idle_ = false;  // no request is in hand
    bool keep_alive_ = true;
    bool chunked_ = false;
};

Connection::Connection(HttpServer::Core& core, Gate& gate, Protocol::socket socket, Peer peer)
    : core_(core),
      gate_(gate),
      stream_(std::move(socket)),
      peer_(std::move(peer)),
      news_(core.io),
      known_(!gate.entrance.access) {
    core_.connections.insert(this);
    ++gate_.open;
    ++core_.counts.connections;
    ++core_.counts.open;
    news_.expires_at(asio::steady_timer::time_point::max());
}

Connection::~Connection() {
    core_.connections.erase(this);
    --gate_.open;
    --core_.counts.open;
}

void Connection::close_if_idle() {
    if (idle_) stream_.close();
}

asio::awaitable<void> Connection::serve() {
    for (;;) {
        idle_ = true;
        if (!co_await await_request()) break;
        if (!co_await read_request()) break;
        idle_ = false;
        if (!co_await answer()) break;
        if (!keep_alive_ || core_.closing) break;
    }
    error_code ignored;
    (void)stream_.socket().shutdown(Protocol::socket::shutdown_send, ignored);
}

// Until the first byte a connection may rest for long.
asio::awaitable<bool> Connection::await_request() {
    if (core_.closing) co_return false;
    if (buffer_.size() > 0) co_return true;
    stream_.expires_after(ms(known_ ? core_.limits.idle_ms : core_.limits.read_ms));
    const auto [problem, n] = co_await stream_.async_read_some(buffer_.prepare(kReadSize), kAwait);
    if (problem) co_return false;
    buffer_.commit(n);
    co_return true;
}

asio::awaitable<bool> Connection::read_request() {
    parser_.emplace();
    parser_->header_limit(core_.limits.header_bytes);
    parser_->body_limit(core_.limits.body_bytes);
    keep_alive_ = false;
    chunked_ = false;
    stream_.expires_after(ms(core_.limits.read_ms));
    // Beast's own limit is for what it parses at once.
    error_code failed;
    for (std::size_t total = 0; !failed && !parser_->is_header_done();) {
        const auto [code, n] = co_await http::async_read_some(stream_, buffer_, *parser_, kAwait);
        failed = code;
        total += n;
        if (!failed && total > core_.limits.header_bytes) failed = http::error::header_limit;
    }
    if (!failed) {
        if (auto refused = refusal()) {
            co_await refuse(std::move(*refused));
            co_return false;
        }
        keep_alive_ = parser_->get().keep_alive();
        failed = co_await read_body();
    }
    if (!failed) co_return true;
    if (auto refused = refusal_of(failed)) co_await refuse(std::move(*refused));
    co_return false;
}

// What a client is told when its request could not be read; nothing when it has gone or
// was too slow.
std::optional<HttpResponse> Connection::refusal_of(error_code failed) const {
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
        return problem(431, "header_too_large",
                       "a request's head may have " + std::to_string(core_.limits.header_bytes) + " bytes");
    if (failed == http::error::body_limit)
        return problem(413, "body_too_large",
                       "a request's body may have " + std::to_string(core_.limits.body_bytes) + " bytes");
    const bool spoke = failed.category() == http::make_error_code(http::error::end_of_stream).category();
    if (!spoke || failed == http::error::end_of_stream || failed == http::error::partial_message)
        return std::nullopt;
    return problem(400, "bad_request", "not HTTP: " + failed.message());
}

std::optional<HttpResponse> Connection::refusal() {
    const http::request<http::string_body>& head = parser_->get();
    const auto target = split_target({head.target().data(), head.target().size()});
    const HeadFacts facts{.version = static_cast<int>(head.version()),
                          .hosts = values_of(head, http::field::host),
                          .content_lengths = values_of(head, http::field::content_length),
                          .transfer_encodings = values_of(head, http::field::transfer_encoding),
                          .has_origin = head.find(http::field::origin) != head.end(),
                          .authorizations = values_of(head, http::field::authorization),
                          .authority = target ? target->authority : ""};
    auto found = check_head(facts);
    if (!found && gate_.entrance.access) found = check_access(facts, *gate_.entrance.access);
    if (found) {
        HttpResponse refused = problem(found->status, found->error, found->detail);
        if (!found->challenge.empty()) refused.headers.emplace_back("WWW-Authenticate", found->challenge);
        return refused;
    }
    known_ = true;
    if (!target) return problem(400, "bad_target", "the request's target is no path");
    return std::nullopt;
}

// Bounds what travels beside the body too: sizes and extensions of chunks, fields behind them.
asio::awaitable<error_code> Connection::read_body() {
    if (parser_->is_done()) co_return error_code();
    stream_.expires_after(ms(core_.limits.read_ms));
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue")) {
        static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
        const auto [failed, sent] =
            co_await asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()), kAwait);
        (void)sent;
        if (failed) co_return failed;
    }
    parser_->eager(true);
    const auto fields = [this] { return std::distance(parser_->get().begin(), parser_->get().end()); };
    const auto most_fields = fields() + kTrailers;
    for (std::uint64_t total = 0; !parser_->is_done();) {
        const auto [failed, n] = co_await http::async_read_some(stream_, buffer_, *parser_, kAwait);
        if (failed) co_return failed;
        total += n;
        if (total > 2 * core_.limits.body_bytes + kReadSize) co_return http::error::body_limit;
        if (fields() > most_fields) co_return http::error::header_limit;
    }
    co_return error_code();
}

// To a client whose request is not understood: what else it has sent is not either. It is read
// and dropped, else the kernel would take the answer back with it.
asio::awaitable<void> Connection::refuse(HttpResponse response) {
    keep_alive_ = false;
    if (!co_await send_whole(std::move(response))) co_return;
    error_code ignored;
    (void)stream_.socket().shutdown(Protocol::socket::shutdown_send, ignored);
    stream_.expires_after(ms(std::min<std::int64_t>(core_.limits.read_ms, 2'000)));
    buffer_.clear();
    for (std::size_t dropped = 0; dropped < kDropped;) {
        const auto [failed, n] = co_await stream_.async_read_some(buffer_.prepare(64 * 1024), kAwait);
        if (failed) break;
        dropped += n;
    }
}

asio::awaitable<bool> Connection::answer() {
    auto& message = parser_->get();
    auto target = split_target({message.target().data(), message.target().size()});
    HttpRequest request{.method = std::string(message.method_string()),
                        .path = std::move(target->path),
                        .query = std::move(target->query),
                        .content_type = std::string(message[http::field::content_type]),
                        .body = std::move(message.body()),
                        .peer = peer_,
                        .upgrade = beast::websocket::is_upgrade(message)};
    exchange_ = std::make_shared<Exchange>([weak = weak_from_this(), &io = core_.io] {
        asio::post(io, [weak] {
            if (const auto connection = weak.lock()) connection->news_.cancel();
        });
    });
    const std::shared_ptr<Exchange> exchange = exchange_;
    core_.handler(std::move(request), exchange);
    // An answer that has begun already may still be a long one.
    const bool waits = !exchange->finished();
    if (waits) watch_client();
    const bool sent = co_await send_ready();
    if (!sent) exchange->abandon();
    if (waits) {
        error_code ignored;
        (void)stream_.socket().cancel(ignored);
    }
    exchange_.reset();
    co_return sent;
}

// A client that closed has hung up. At a Unix socket one that only has no more to say has not; over TCP
// the two look the same, unless it has sent more before: then only what is sent to it shows it.
void Connection::watch_client() {
    stream_.expires_never();
    const auto what = gate_.entrance.access ? Protocol::socket::wait_read : Protocol::socket::wait_error;
    stream_.socket().async_wait(what, [exchange = exchange_, weak = weak_from_this()](error_code aborted) {
        const auto self = weak.lock();
        if (aborted || !self) return;
        if (self->gate_.entrance.access && !sys::has_hung_up(self->stream_.socket().native_handle())) return;
        exchange->abandon();
        self->news_.cancel();
    });
}

asio::awaitable<bool> Connection::send_ready() {
    for (;;) {
        while (!exchange_->ready() && !exchange_->gone()) {
            const auto [woken] = co_await news_.async_wait(kAwait);
            (void)woken;
        }
        if (exchange_->gone()) co_return false;
        Exchange::Ready ready = exchange_->take();
        if (ready.head && ready.head->status == 101) {
            co_await switch_protocols();
            co_return false;
        }
        if (ready.head && !ready.in_pieces) co_return co_await send_whole(std::move(*ready.head));
        if (ready.head && !co_await send_head(std::move(*ready.head))) co_return false;
        if ((!ready.bytes.empty() || ready.finished) &&
            !co_await send_piece(std::move(ready.bytes), ready.finished))
            co_return false;
        if (ready.finished) co_return true;
    }
}

// A connection that has not said what it wants is idle.
asio::awaitable<void> Connection::switch_protocols() {
    const auto& head = parser_->get();
    const auto found = check_handshake({.versions = values_of(head, http::field::sec_websocket_version),
                                        .keys = values_of(head, http::field::sec_websocket_key),
                                        .more_follows = buffer_.size() > 0});
    if (found) {
        HttpResponse refused = problem(found->status, found->error, found->detail);
        if (found->status == 426) {
            refused.headers = {
                {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Version", "13"}};
        }
        co_await refuse(std::move(refused));
        co_return;
    }
    ++core_.counts.answers[101];
    idle_ = true;
    const WebSocketLimits limits{.first_ms = core_.limits.read_ms, .write_ms = core_.limits.write_ms};
    co_await serve_web_socket(stream_, parser_->release(), limits,
                              [this](std::shared_ptr<StreamLink> link, StreamMessage message) {
                                  idle_ = false;
                                  core_.on_stream(std::move(link), std::move(message), peer_);
                              });
}

http::response<http::empty_body> Connection::head_of(const HttpResponse& response) {
    ++core_.counts.answers[static_cast<std::size_t>(response.status) % core_.counts.answers.size()];
    const unsigned version = parser_->is_header_done() ? parser_->get().version() : 11;
    http::response<http::empty_body> head(static_cast<http::status>(response.status), version);
    head.set(http::field::server, "substrate");
    head.set(http::field::content_type, response.content_type);
    head.set(http::field::cache_control, "no-store");
    head.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) head.set(name, value);
    if (core_.closing) keep_alive_ = false;
    head.keep_alive(keep_alive_);
    return head;
}

asio::awaitable<bool> Connection::send_whole(HttpResponse response) {
    auto head = head_of(response);
    head.content_length(response.body.size());
    const bool bare = parser_->is_header_done() && parser_->get().method() == http::verb::head;
    stream_.expires_after(ms(core_.limits.write_ms));
    if (bare) {
        http::response_serializer<http::empty_body> serializer(head);
        const auto [failed, n] = co_await http::async_write_header(stream_, serializer, kAwait);
        (void)n;
        co_return !failed;
    }
    http::response<http::string_body> whole(std::move(head.base()), std::move(response.body));
    const auto [failed, n] = co_await http::async_write(stream_, whole, kAwait);
    (void)n;
    co_return !failed;
}

asio::awaitable<bool> Connection::send_head(HttpResponse response) {
    chunked_ = parser_->get().version() >= 11;
    // Without chunks only the end of the connection ends the answer.
    if (!chunked_) keep_alive_ = false;
    auto head = head_of(response);
    if (chunked_) head.chunked(true);
    http::response_serializer<http::empty_body> serializer(head);
    stream_.expires_after(ms(core_.limits.write_ms));
    const auto [failed, n] = co_await http::async_write_header(stream_, serializer, kAwait);
    (void)n;
    co_return !failed;
}

asio::awaitable<bool> Connection::send_piece(std::string bytes, bool last) {
    stream_.expires_after(ms(core_.limits.write_ms));
    const asio::const_buffer piece(bytes.data(), bytes.size());
    if (!bytes.empty() && chunked_) {
        const auto chunk = http::make_chunk(piece);
        const auto [failed, n] = co_await asio::async_write(stream_, chunk, kAwait);
        (void)n;
        if (failed) co_return false;
    } else if (!bytes.empty()) {
        const auto [failed, n] = co_await asio::async_write(stream_, piece, kAwait);
        (void)n;
        if (failed) co_return false;
    }
    if (last && chunked_) {
        const auto end = http::make_chunk_last();
        const auto [failed, n] = co_await asio::async_write(stream_, end, kAwait);
        (void)n;
        if (failed) co_return false;
    }
    // What the client does until the next piece has no deadline.
    stream_.expires_never();
    co_return true;
}

void HttpServer::Core::take_in(Gate& gate, Protocol::socket socket) {
    if (gate.open >= limits.connections) return;
    Peer peer;
    if (gate.entrance.access) {
        error_code ignored;  // answers are later then, and no other
        (void)socket.set_option(asio::ip::tcp::no_delay(true), ignored);
    } else {
        const auto credentials = sys::peer_credentials(socket.native_handle());
        if (!credentials || credentials->uid != gate.entrance.uid) return;
        peer.pid = credentials->pid;
        const std::string link = "/proc/" + std::to_string(credentials->pid) + "/cwd";
        if (auto cwd = sys::read_link_at(AT_FDCWD, link.c_str()); cwd && cwd->starts_with('/'))
            peer.cwd = std::move(*cwd);
    }
    auto connection = std::make_shared<Connection>(*this, gate, std::move(socket), std::move(peer));
    // Whatever one client's coroutine throws ends that client's connection alone.
    asio::co_spawn(
        io, [connection] { return connection->serve(); }, [connection](const std::exception_ptr&) {});
}

asio::awaitable<void> HttpServer::Core::accept_all(Gate& gate) {
    asio::steady_timer pause(io);
    for (;;) {
        auto [failed, socket] = co_await gate.acceptor.async_accept(kAwait);
        if (!gate.acceptor.is_open() || closing) co_return;
        if (!failed) {
            take_in(gate, std::move(socket));
            continue;
        }
        // No descriptors, most likely: some connection will end.
        pause.expires_after(ms(50));
        const auto [woken] = co_await pause.async_wait(kAwait);
        (void)woken;
    }
}

Result<> HttpServer::Core::open(Entrance entrance) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = entrance.listener.get();
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return fail(Error::last_os("getsockname"));
    Gate& gate = gates.emplace_back(io, std::move(entrance));
    error_code failed;
    (void)gate.acceptor.assign(Protocol(address.ss_family, gate.entrance.access ? IPPROTO_TCP : 0), fd,
                               failed);
    if (failed) return fail({Errc::os, "taking over the socket: " + failed.message()});
    (void)gate.entrance.listener.release();
    asio::co_spawn(io, accept_all(gate), asio::detached);
    return {};
}

HttpServer::HttpServer(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Result<std::unique_ptr<HttpServer>> HttpServer::start(std::vector<Entrance> entrances,
                                                      const ServerLimits& limits, Handler handler,
                                                      StreamHandler on_stream) {
    try {
        auto core = std::make_unique<Core>(limits, std::move(handler), std::move(on_stream));
        for (Entrance& entrance : entrances) SUB_TRY(core->open(std::move(entrance)));
        core->thread = std::jthread([io = &core->io] {
            for (;;) {
                try {
                    io->run();
                    return;
                } catch (const std::exception&) {
                    // Of a handler outside any coroutine; the rest goes on.
                    continue;
                }
            }
        });
        return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
    } catch (const std::exception& problem) {
        return fail({Errc::internal, std::string("starting the HTTP server: ") + problem.what()});
    }
}

HttpServer::~HttpServer() { close(); }

void HttpServer::close() {
    if (!core_->thread.joinable()) return;
    asio::post(core_->io, [core = core_.get()] {
        core->closing = true;
        error_code ignored;
        for (Gate& gate : core->gates) (void)gate.acceptor.close(ignored);
        for (Connection* connection : core->connections) connection->close_if_idle();
    });
    core_->thread.join();
}

const ServerCounts& HttpServer::counts() const { return core_->counts; }

}  // namespace substrate::agent
