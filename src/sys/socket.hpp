#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Unix domain sockets and descriptors that travel over them (unix(7)). All are
// close-on-exec; sending never raises SIGPIPE.
namespace substrate::sys {

struct SocketPair {
    UniqueFd ours;
    UniqueFd theirs;
};
// A connected pair of SOCK_SEQPACKET sockets: message boundaries are kept.
Result<SocketPair> make_seqpacket_pair();
// The same of SOCK_STREAM sockets.
Result<SocketPair> make_stream_pair();

// Listens at `path`, mode 0600, replacing a socket that nobody serves. A path
// longer than sun_path is reached through its directory's descriptor.
Result<UniqueFd> listen_stream(const std::string& path, int backlog);
// Listens as `name` in a directory, mode 0600, which must not exist yet. Does not block: accept_stream
// fails with EAGAIN when nobody waits.
Result<UniqueFd> listen_in(int directory, const std::string& name, int backlog);
// Errc::unavailable when nobody listens there. With `limit_ms`, no call on it takes longer, connecting
// included: it fails with EAGAIN then, Errc::unavailable here.
Result<UniqueFd> connect_stream(const std::string& path, int limit_ms = 0);
Result<UniqueFd> accept_stream(int listener);

struct PeerCredentials {
    pid_t pid = 0;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};
Result<PeerCredentials> peer_credentials(int socket);

inline constexpr std::size_t kMaxPassedFds = 6;

// One sendmsg(2) with the descriptors attached to its first byte. On a stream
// socket the rest follows until all is sent.
Result<> send_message(int socket, std::string_view bytes, std::span<const int> fds = {});

struct Received {
    std::size_t size = 0;  // 0: the peer has closed
    std::vector<UniqueFd> fds;
};
// One recvmsg(2). A message or control data cut short is an error.
Result<Received> receive_message(int socket, std::span<char> buffer);

// Sends `bytes` with the descriptors and waits for one message back: how many bytes of `reply` it
// fills, 0 when the peer has closed. In between, nothing but our own stack is touched: a peer that
// shares our memory finds it whole.
Result<std::size_t> exchange(int socket, std::string_view bytes, std::span<const int> fds,
                             std::span<char> reply);

// What there is now, without waiting: 0 when the peer has closed, nullopt for nothing. Descriptors that
// were sent along are dropped by the kernel.
Result<std::optional<std::size_t>> receive_now(int socket, std::span<char> buffer);
// The peer has closed, or at least its sending side, and nothing is left to read.
bool has_hung_up(int socket);
// All of it or, when the peer's buffer has no room for it now, an error.
Result<> send_now(int socket, std::string_view bytes);

// True once `fd` is readable, has an error or was hung up; false after
// `timeout_ms` (negative: no limit).
Result<bool> wait_readable(int fd, int timeout_ms);

}  // namespace substrate::sys
