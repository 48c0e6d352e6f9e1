#include "egress/socket_maker.hpp"

#include <fcntl.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "egress/confine.hpp"
#include "sys/file.hpp"
#include "sys/internet_socket.hpp"
#include "sys/namespace.hpp"
#include "sys/socket.hpp"

namespace substrate::egress {

namespace {

constexpr int kLookMs = 20;

Result<std::uint64_t> network_of(const std::string& process) {
    SUB_TRY_ASSIGN(const sys::UniqueFd network, sys::open_path("/proc/" + process + "/ns/net", O_RDONLY));
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(network.get()));
    return st.stx_ino;
}

}  // namespace

Result<> enter_world_network(const std::string& pid, int pidfd) {
    // An init begins in our network, which must not be taken for the world's.
    SUB_TRY_ASSIGN(const std::uint64_t ours, network_of("self"));
    for (;;) {
        SUB_TRY_ASSIGN(const std::uint64_t theirs, network_of(pid));
        if (theirs != ours) break;
        // Readable once the init is gone.
        SUB_TRY_ASSIGN(const bool gone, sys::wait_readable(pidfd, kLookMs));
        if (gone) return fail({Errc::not_found, "the world has ended"});
    }
    // Both at once: what the network belongs to is the world's user namespace.
    auto joined = sys::join_namespace(pidfd, CLONE_NEWUSER | CLONE_NEWNET);
    // Of a world without a user namespace of its own.
    if (!joined && joined.error().os_errno() == EINVAL) joined = sys::join_namespace(pidfd, CLONE_NEWNET);
    SUB_TRY_DURING(joined, "joining the world's network");
    return confine_socket_maker();
}

Result<> serve_sockets(int control) {
    for (;;) {
        std::array<char, 1> word{};
        SUB_TRY_ASSIGN(const sys::Received asked, sys::receive_message(control, word));
        if (asked.size == 0) return {};
        std::vector<sys::UniqueFd> made;
        for (const bool v4 : {true, false})
            if (auto socket = sys::make_tcp(v4)) made.push_back(std::move(*socket));
        std::vector<int> fds;
        fds.reserve(made.size());
        for (const sys::UniqueFd& socket : made) fds.push_back(socket.get());
        SUB_TRY(sys::send_message(control, std::string_view(word.data(), word.size()), fds));
    }
}

}  // namespace substrate::egress
