#include "egress/resolver.hpp"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace substrate::egress {

struct Resolver::State {
    EventLoop& loop;
    ares_channel channel = nullptr;
    EventLoop::Timer timer = 0;

    explicit State(EventLoop& in) : loop(in) {}
    ~State() {
        // Its callbacks say that they were cancelled.
        if (channel != nullptr) ares_destroy(channel);
        loop.cancel(timer);
    }
    void socket_changed(ares_socket_t fd, bool readable, bool writable) {
        loop.remove(fd);
        if (!readable && !writable) return;
        const std::uint32_t events = (readable ? EPOLLIN : 0U) | (writable ? EPOLLOUT : 0U);
        // A failure ends in the query's own timeout.
        (void)loop.watch(fd, events, [this, fd](std::uint32_t ready) {
            const bool broken = (ready & (EPOLLERR | EPOLLHUP)) != 0;
            ares_process_fd(channel, (ready & EPOLLIN) != 0 || broken ? fd : ARES_SOCKET_BAD,
                            (ready & EPOLLOUT) != 0 ? fd : ARES_SOCKET_BAD);
            set_timer();
        });
    }
    void set_timer() {
        loop.cancel(std::exchange(timer, 0));
        timeval left{};
        if (ares_timeout(channel, nullptr, &left) == nullptr) return;
        timer = loop.after_ms(left.tv_sec * 1000 + left.tv_usec / 1000 + 1, [this] {
            timer = 0;
            ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            set_timer();
        });
    }
};

namespace {

constexpr int kTimeoutMs = 2'000, kTries = 3;

Resolved addresses_in(const ares_addrinfo& info) {
    Resolved resolved;
    for (const ares_addrinfo_node* node = info.nodes; node != nullptr; node = node->ai_next) {
        IpAddress address;
        if (node->ai_family == AF_INET) {
            sockaddr_in v4{};
            std::memcpy(&v4, node->ai_addr, sizeof v4);
            address = IpAddress::v4(ntohl(v4.sin_addr.s_addr));
        } else if (node->ai_family == AF_INET6) {
            sockaddr_in6 v6{};
            std::memcpy(&v6, node->ai_addr, sizeof v6);
            std::array<std::uint8_t, 16> bytes{};
            std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
            address = IpAddress::v6(bytes);
        } else continue;
        if (std::ranges::find(resolved.addresses, address) != resolved.addresses.end()) continue;
        const auto ttl = static_cast<std::uint32_t>(std::max(node->ai_ttl, 0));
        resolved.ttl_secs = resolved.addresses.empty() ? ttl : std::min(resolved.ttl_secs, ttl);
        resolved.addresses.push_back(address);
    }
    return resolved;
}

void finished(void* argument, int status, int /*timeouts*/, ares_addrinfo* info) {
    const std::unique_ptr<Resolver::Done> done(static_cast<Resolver::Done*>(argument));
    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owner(info, &ares_freeaddrinfo);
    if (status == ARES_SUCCESS && info != nullptr) {
        Resolved resolved = addresses_in(*info);
        return (*done)(std::move(resolved));
    }
    if (status == ARES_ENODATA) return (*done)(Resolved{});
    (*done)(fail({status == ARES_ENOTFOUND ? Errc::not_found : Errc::unavailable, ares_strerror(status)}));
}

}  // namespace

Resolver::Resolver(std::unique_ptr<State> state) : state_(std::move(state)) {}
Resolver::~Resolver() = default;

Result<std::unique_ptr<Resolver>> Resolver::make(EventLoop& loop) {
    auto state = std::make_unique<State>(loop);
    ares_options options{};
    options.timeout = kTimeoutMs;
    options.tries = kTries;
    options.ndomains = 0;  // a name means itself, whatever the host would put behind it
    options.sock_state_cb = [](void* data, ares_socket_t fd, int readable, int writable) {
        static_cast<State*>(data)->socket_changed(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = state.get();
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(
            &state->channel, &options,
            ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS);
    if (status != ARES_SUCCESS)
        return fail(Error(Errc::unavailable, std::string("no name server to ask: ") + ares_strerror(status))
                        .hint("see /etc/resolv.conf"));
    return std::unique_ptr<Resolver>(new Resolver(std::move(state)));
}

void Resolver::resolve(const std::string& name, Done done) {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = ARES_AI_NOSORT;
    ares_getaddrinfo(state_->channel, name.c_str(), nullptr, &hints, &finished,
                     std::make_unique<Done>(std::move(done)).release());
    state_->set_timer();
}

}  // namespace substrate::egress
