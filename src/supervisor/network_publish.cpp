#include <cerrno>
#include <utility>

#include "supervisor/gateway_process.hpp"
#include "supervisor/network.hpp"
#include "sys/file.hpp"
#include "sys/internet_socket.hpp"
#include "sys/signals.hpp"
#include "sys/socket.hpp"

// Ports of worlds on the host's loopback.
namespace substrate::supervisor {
namespace {

// ip(7): ip_unprivileged_port_start.
std::string first_unprivileged() {
    const auto text = sys::read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64);
    return text ? text->substr(0, text->find('\n')) : "1024";
}

// One that is in use is the common case, and has a sentence of its own.
Result<std::vector<sys::UniqueFd>> listen_on_loopback(std::uint16_t port) {
    std::vector<sys::UniqueFd> listeners;
    for (const char* address : {"127.0.0.1", "::1"}) {
        auto listener = sys::listen_tcp(*IpAddress::parse(address), port);
        if (listener) {
            listeners.push_back(std::move(*listener));
            continue;
        }
        const int code = listener.error().os_errno();
        if (code == EADDRINUSE)
            return fail(Error(Errc::conflict, "port " + std::to_string(port) + " is in use on this machine")
                            .hint("end who listens there, or let the server in the world listen at another"));
        if (code == EACCES)
            return fail(
                Error(Errc::denied, "port " + std::to_string(port) +
                                        " of this machine is root's: an account has those from " +
                                        first_unprivileged() + " on")
                    .hint("let the server in the world listen at one of those, or, as root, sysctl -w "
                          "net.ipv4.ip_unprivileged_port_start=" +
                          std::to_string(port)));
        // A machine without IPv6.
        if (listeners.empty() || (code != EADDRNOTAVAIL && code != EAFNOSUPPORT))
            return fail(std::move(listener).error());
    }
    return listeners;
}

}  // namespace

Network::Published::Published(std::shared_ptr<Network> network, std::string world, std::uint16_t port,
                              process::Child maker, std::uint64_t generation)
    : network_(std::move(network)),
      world_(std::move(world)),
      port_(port),
      maker_(std::move(maker)),
      generation_(generation) {}

Network::Published::~Published() {
    {
        const std::scoped_lock lock(network_->mutex_);
        const Json message{{"type", "unpublish"}, {"world", world_}, {"port", port_}};
        // A gateway that cannot be told is gone, and its listeners with it.
        if (network_->running_ && network_->generation_ == generation_)
            (void)network_->send(dump_json(message), nullptr);
    }
    end_gateway(maker_);
}

bool Network::Published::alive() const {
    const auto ended = sys::wait_readable(maker_.pidfd.get(), 0);
    const std::scoped_lock lock(network_->mutex_);
    return ended && !*ended && network_->running_ && network_->generation_ == generation_;
}

Result<std::unique_ptr<Network::Published>> Network::publish(std::shared_ptr<Network> network,
                                                             const std::string& world, std::uint16_t port,
                                                             const process::Child& init) {
    SUB_TRY_ASSIGN(std::vector<sys::UniqueFd> sockets, listen_on_loopback(port));
    SUB_TRY_ASSIGN(sys::SocketPair pair, sys::make_seqpacket_pair());
    auto maker =
        spawn_gateway(network->program_, std::to_string(init.pid), {pair.theirs.get(), init.pidfd.get()});
    if (!maker) return fail(std::move(maker).error().during("making sockets in the world's network"));
    sockets.insert(sockets.begin(), std::move(pair.ours));
    std::unique_lock lock(network->mutex_);
    auto sent = network->start(lock);
    const Json message{{"type", "publish"}, {"world", world}, {"port", port}};
    if (sent) sent = network->send(dump_json(message), nullptr, sockets);
    if (!sent) {
        end_gateway(*maker);
        return fail(std::move(sent).error());
    }
    const std::uint64_t generation = network->generation_;
    lock.unlock();
    return std::make_unique<Published>(std::move(network), world, port, std::move(*maker), generation);
}

}  // namespace substrate::supervisor
