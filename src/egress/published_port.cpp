#include "egress/published_port.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "sys/internet_socket.hpp"
#include "sys/socket.hpp"

namespace substrate::egress {
namespace {

constexpr std::int64_t kRestMs = 100;

}  // namespace

PublishedPort::PublishedPort(EventLoop& loop, std::uint16_t port, sys::UniqueFd maker,
                             std::vector<sys::UniqueFd> listeners, Closed closed)
    : loop_(loop),
      port_(port),
      maker_(std::move(maker)),
      listeners_(std::move(listeners)),
      closed_(std::move(closed)),
      unlimited_(loop),
      self_(std::make_shared<PublishedPort*>(this)) {}

PublishedPort::~PublishedPort() {
    *self_ = nullptr;
    loop_.remove(maker_.get());
    for (const sys::UniqueFd& listener : listeners_) loop_.remove(listener.get());
}

Result<std::unique_ptr<PublishedPort>> PublishedPort::make(EventLoop& loop, std::uint16_t port,
                                                           sys::UniqueFd maker,
                                                           std::vector<sys::UniqueFd> listeners,
                                                           Closed closed) {
    std::unique_ptr<PublishedPort> made(
        new PublishedPort(loop, port, std::move(maker), std::move(listeners), std::move(closed)));
    PublishedPort* self = made.get();
    SUB_TRY(loop.watch(self->maker_.get(), EPOLLIN, [self](std::uint32_t) { self->take_sockets(); }));
    for (const sys::UniqueFd& listener : self->listeners_)
        SUB_TRY(loop.watch(listener.get(), EPOLLIN,
                           [self, fd = listener.get()](std::uint32_t) { self->accept(fd); }));
    return made;
}

void PublishedPort::accept(int listener) {
    auto client = sys::accept_tcp(listener);
    const bool full = waiting_.size() + connections_.size() >= kMostConnections;
    if (!client) {
        // Out of descriptors: whoever waits is served when others have ended.
        (void)loop_.change(listener, 0);
        loop_.after_ms(kRestMs, [self = self_, listener] {
            if (*self != nullptr) (void)(*self)->loop_.change(listener, EPOLLIN);
        });
        return;
    }
    if (!*client) return;
    // A maker that does not read any more is as good as gone.
    if (full || !maker_ || !sys::send_now(maker_.get(), "s")) return sys::reset_connection(*client);
    waiting_.push_back(std::move(*client));
}

void PublishedPort::take_sockets() {
    std::array<char, 1> word{};
    auto received = sys::receive_message(maker_.get(), word);
    if (!received || received->size == 0) {
        // The world has ended.
        loop_.remove(maker_.get());
        maker_.reset();
        for (sys::UniqueFd& client : waiting_) sys::reset_connection(client);
        waiting_.clear();
        return;
    }
    if (waiting_.empty()) return;
    sys::UniqueFd client = std::move(waiting_.front());
    waiting_.pop_front();
    if (received->fds.empty()) return sys::reset_connection(client);
    begin(std::move(client), std::move(received->fds));
}

void PublishedPort::begin(sys::UniqueFd client, std::vector<sys::UniqueFd> sockets) {
    // Servers listen on one of them, or on both.
    Connection::Target target{
        .host = IpAddress::v4(0x7f000001), .port = port_, .addresses = {}, .verdict = {}};
    target.verdict.allowed = true;
    target.addresses = {*IpAddress::parse("127.0.0.1"), *IpAddress::parse("::1")};
    target.addresses.resize(std::min(target.addresses.size(), sockets.size()));
    auto left = std::make_shared<std::vector<sys::UniqueFd>>(std::move(sockets));
    target.connect = [left](const sys::Endpoint& peer) -> Result<sys::UniqueFd> {
        sys::UniqueFd socket = std::move(peer.address.is_v4() ? left->front() : left->back());
        SUB_TRY(sys::begin_connect(socket.get(), peer));
        return socket;
    };
    const std::uint64_t number = next_++;
    auto made = std::make_unique<Connection>(
        loop_, std::move(client), std::move(target), unlimited_,
        [this, number](const ConnectionReport& report) { ended(number, report); });
    Connection& connection = *made;
    connections_.emplace(number, std::move(made));
    connection.start();
}

void PublishedPort::ended(std::uint64_t number, const ConnectionReport& report) {
    closed_(report);
    // Not while one of its own methods is at work.
    loop_.after_ms(0, [self = self_, number] {
        if (*self != nullptr) (*self)->connections_.erase(number);
    });
}

}  // namespace substrate::egress
