#include "world/network.hpp"

#include <fcntl.h>
#include <sched.h>

#include "process/worker.hpp"
#include "sys/file.hpp"
#include "sys/namespace.hpp"
#include "sys/socket.hpp"
#include "world/init_protocol.hpp"
#include "world/packet.hpp"
#include "world/uplink.hpp"

namespace substrate::world {
namespace {

Result<OwnNetwork> make_network(const plan::WorldPlan& plan) {
    OwnNetwork network;
    if (::unshare(CLONE_NEWNET) != 0) return fail(Error::last_os("unshare"));
    SUB_TRY(sys::raise_loopback());
    SUB_TRY_ASSIGN(network.ns, sys::open_path("/proc/self/ns/net", O_RDONLY));
    if (plan.uplink.table.empty()) return network;
    SUB_TRY_ASSIGN(network.uplink, raise_uplink(plan));
    return network;
}

Result<> make_and_send(const plan::WorldPlan& plan, int socket) {
    const auto network = make_network(plan);
    if (!network)
        return send_packet(socket,
                           encode(Event(Failed{network.error().message(), network.error().os_errno()})), {});
    std::vector<int> fds = {network->ns.get()};
    for (const sys::UniqueFd& fd : network->uplink) fds.push_back(fd.get());
    return send_packet(socket, encode(Event(Uplink{})), fds);
}

}  // namespace

Result<NetworkMaker> NetworkMaker::begin(const plan::WorldPlan& plan) {
    NetworkMaker maker;
    if (plan.network == plan::NetworkMode::host) return maker;
    SUB_TRY_ASSIGN(sys::SocketPair pair, sys::make_seqpacket_pair());
    // Who cannot even send says so by the end of the socket.
    SUB_TRY_ASSIGN(maker.pid_, process::fork_worker([&] { (void)make_and_send(plan, pair.theirs.get()); }));
    maker.socket_ = std::move(pair.ours);
    return maker;
}

Result<OwnNetwork> NetworkMaker::finish() {
    OwnNetwork network;
    if (pid_ < 0) return network;
    SUB_TRY_ASSIGN(Packet packet, receive_packet(socket_.get()));
    socket_.reset();
    if (packet.closed) return fail({Errc::unavailable, "the process that made it has ended"});
    SUB_TRY_ASSIGN(const Event event, decode_event(packet.payload));
    if (const auto* failed = std::get_if<Failed>(&event)) return fail({Errc::os, failed->message});
    if (!std::holds_alternative<Uplink>(event) || packet.fds.empty())
        return fail({Errc::internal, "what came is no network"});
    network.maker = pid_;
    network.ns = std::move(packet.fds.front());
    packet.fds.erase(packet.fds.begin());
    network.uplink = std::move(packet.fds);
    return network;
}

}  // namespace substrate::world
