#include "egress/connection.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/text.hpp"
#include "egress/client_hello.hpp"

namespace substrate::egress {
namespace {

constexpr std::int64_t kConnectMs = 10'000;  // for one address
constexpr std::int64_t kLookMs = 30'000;     // for a first message that has begun
constexpr std::size_t kReadAtOnce = 16 * 1024;

}  // namespace

Connection::Connection(EventLoop& loop, sys::UniqueFd client, Target target, Meter& meter, Closed closed)
    : loop_(loop),
      client_(std::move(client)),
      target_(std::move(target)),
      meter_(meter),
      closed_(std::move(closed)) {}

Connection::~Connection() {
    loop_.cancel(timer_);
    meter_.cancel(waiter_);
    if (client_) loop_.remove(client_.get());
    if (server_) loop_.remove(server_.get());
}

void Connection::start() { connect_next(); }

void Connection::refuse(std::string reason) {
    target_.verdict.allowed = false;
    target_.verdict.reason = std::move(reason);
    finish({}, /*reset=*/true);
}

void Connection::connect_next() {
    loop_.cancel(std::exchange(timer_, 0));
    if (server_) loop_.remove(server_.get());
    server_.reset();
    while (next_address_ < target_.addresses.size()) {
        const sys::Endpoint peer{target_.addresses[next_address_++], target_.port};
        auto socket = target_.connect ? target_.connect(peer) : sys::connect_tcp(peer);
        if (!socket) {
            last_error_ = socket.error().message();
            continue;
        }
        server_ = std::move(*socket);
        if (auto watched =
                loop_.watch(server_.get(), EPOLLOUT, [this](std::uint32_t events) { connected(events); });
            !watched)
            return finish(watched.error().message(), /*reset=*/true);
        timer_ = loop_.after_ms(kConnectMs, [this] {
            timer_ = 0;
            last_error_ = "connect: no answer";
            connect_next();
        });
        return;
    }
    finish(last_error_.empty() ? "no address" : last_error_, /*reset=*/true);
}

void Connection::connected(std::uint32_t /*events*/) {
    loop_.cancel(std::exchange(timer_, 0));
    if (auto made = sys::connect_error(server_.get()); !made) {
        last_error_ = made.error().message();
        return connect_next();
    }
    loop_.remove(server_.get());
    auto up = Flow::make(meter_), down = Flow::make(meter_);
    if (!up || !down) return finish((up ? down.error() : up.error()).message(), /*reset=*/true);
    up_ = std::move(*up);
    down_ = std::move(*down);
    // A connection to an address is for whoever is there.
    stage_ = std::holds_alternative<policy::DomainName>(target_.host) ? Stage::looking : Stage::open;
    ready();
}

void Connection::ready() {
    if (move()) wait_for_more();
}

// False: the connection has ended, and this object may be gone.
bool Connection::move() {
    const bool reads_itself = stage_ != Stage::open;
    if (reads_itself && !look()) return false;
    const bool sent =
        stage_ == Stage::open ? up_->move(client_.get(), server_.get()) : up_->flush(server_.get());
    if (!sent) return finish("the server has closed the connection", /*reset=*/true), false;
    if (requests_ && requests_->waits_for_answer()) {
        if (!answer_to_change()) return true;
        if (!look_at_http()) return false;
        if (!up_->flush(server_.get()))
            return finish("the server has closed the connection", /*reset=*/true), false;
    }
    if (!down_->move(server_.get(), client_.get()))
        return finish("the world has closed the connection", /*reset=*/true), false;
    if (up_->exhausted() || down_->exhausted()) return refuse("the budget of bytes is used up"), false;
    if (up_->ended() && down_->ended()) return finish({}, /*reset=*/false), false;
    return true;
}

// Reads what the client sends as long as somebody has to look at it.
bool Connection::look() {
    if (!read_client()) return false;
    if (stage_ == Stage::http) return look_at_http();
    const policy::Host& host = target_.host;
    const ClientHello hello = read_client_hello(held_);
    if (hello.reading == Reading::bad) return refuse(hello.problem), false;
    if (hello.reading == Reading::done) {
        if (hello.encrypted) return refuse("its TLS hides for whom it is (encrypted ClientHello)"), false;
        if (hello.server_name.empty())
            return refuse("its TLS does not say for whom it is (no server name)"), false;
        const auto named = policy::read_host(hello.server_name);
        if (!named || *named != host) return refuse("its TLS is for " + printable(hello.server_name)), false;
    }
    if (hello.reading == Reading::other) {
        const Reading http = begins_as_http(held_);
        if (http == Reading::bad)
            return refuse("HTTP/2 without TLS, or a request line without an end"), false;
        if (http == Reading::done) {
            requests_.emplace(host, target_.port);
            stage_ = Stage::http;
            return look_at_http();
        }
        // Text that has begun like a request may wait for its line to end.
        if (http == Reading::more && !client_ended_) return true;
    }
    const bool undecided = hello.reading == Reading::more && !client_ended_;
    if (undecided) return true;
    up_->put_first(std::exchange(held_, {}));
    if (client_ended_) up_->end_source();
    stage_ = Stage::open;
    return true;
}

bool Connection::look_at_http() {
    const HttpRequests::Step step = requests_->take(held_);
    up_->put_first(held_.substr(0, step.pass));
    held_.erase(0, step.pass);
    if (!step.problem.empty()) return refuse(step.problem), false;
    if (client_ended_ && (held_.empty() || !requests_->waits_for_answer())) {
        held_.clear();
        up_->end_source();
    }
    return true;
}

// False: ended.
bool Connection::read_client() {
    std::array<char, kReadAtOnce> buffer{};
    // What has been read goes on first: a slow server slows the client down.
    throttled_ = stage_ == Stage::http && meter_.allowance() == 0 && !meter_.exhausted();
    while (!throttled_ && !client_ended_ && !up_->wants_to_write() && held_.size() <= kLongestHello) {
        const ssize_t n = ::recv(client_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (n < 0) return finish("the world has closed the connection", /*reset=*/true), false;
        if (n == 0) client_ended_ = true;
        held_.append(buffer.data(), static_cast<std::size_t>(n));
        if (stage_ == Stage::http) break;
    }
    return true;
}

// True once the server has answered: nothing of the client goes on before.
bool Connection::answer_to_change() {
    std::array<char, 16> first{};
    const ssize_t n = ::recv(server_.get(), first.data(), first.size(), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0) return errno != EAGAIN && errno != EINTR;
    // At its end there is no answer any more, and whoever reads next notices.
    requests_->answer(std::string_view(first.data(), static_cast<std::size_t>(n)));
    return true;
}

void Connection::wait_for_more() {
    const bool open = stage_ == Stage::open;
    const bool held_back = requests_ && requests_->waits_for_answer();
    const bool reads_client =
        open ? up_->wants_to_read() : !client_ended_ && !throttled_ && !up_->wants_to_write() && !held_back;
    set_interest(client_.get(), (reads_client ? EPOLLIN : 0U) | (down_->wants_to_write() ? EPOLLOUT : 0U),
                 client_events_);
    set_interest(server_.get(),
                 (down_->wants_to_read() ? EPOLLIN : 0U) | (up_->wants_to_write() ? EPOLLOUT : 0U),
                 server_events_);
    if ((throttled_ || up_->throttled() || down_->throttled()) && waiter_ == 0)
        waiter_ = meter_.wait([this] {
            waiter_ = 0;
            ready();
        });
    // A first message that has begun has to end; a connection on which the server speaks first has none.
    if (stage_ == Stage::looking && !held_.empty() && timer_ == 0)
        timer_ = loop_.after_ms(kLookMs, [this] {
            timer_ = 0;
            if (stage_ == Stage::looking) refuse("its first message does not end");
        });
}

// One without interest is not watched at all: a hang-up would be told again and again.
void Connection::set_interest(int fd, std::uint32_t events, std::uint32_t& current) {
    if (events == current) return;
    Result<> done;
    if (events == 0) loop_.remove(fd);
    else if (current == 0) done = loop_.watch(fd, events, [this](std::uint32_t) { ready(); });
    else done = loop_.change(fd, events);
    current = done ? events : 0;
}

void Connection::finish(std::string error, bool reset) {
    ConnectionReport report{.host = policy::to_text(target_.host),
                            .port = target_.port,
                            .verdict = target_.verdict,
                            .error = std::move(error),
                            .sent = up_ ? up_->bytes() : 0,
                            .received = down_ ? down_->bytes() : 0};
    loop_.cancel(std::exchange(timer_, 0));
    meter_.cancel(std::exchange(waiter_, 0));
    loop_.remove(client_.get());
    if (server_) loop_.remove(server_.get());
    if (reset) sys::reset_connection(client_);
    client_.reset();
    server_.reset();
    ended_ = true;
    const Closed closed = std::move(closed_);
    closed(std::move(report));
}

}  // namespace substrate::egress
