#include "sys/socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "base/paths.hpp"
#include "sys/file.hpp"

namespace substrate::sys {
namespace {

struct Address {
    sockaddr_un raw{};
    UniqueFd directory;  // keeps a /proc/self/fd path alive
};

Result<Address> make_address(const std::string& path) {
    Address address;
    address.raw.sun_family = AF_UNIX;
    std::string short_path = path;
    if (path.size() >= sizeof address.raw.sun_path) {
        SUB_TRY_ASSIGN(address.directory, open_path(std::string(parent_of(path)), O_PATH | O_DIRECTORY));
        short_path =
            "/proc/self/fd/" + std::to_string(address.directory.get()) + path.substr(path.find_last_of('/'));
        if (short_path.size() >= sizeof address.raw.sun_path)
            return fail({Errc::invalid, "socket name too long: '" + path + "'"});
    }
    std::memcpy(address.raw.sun_path, short_path.c_str(), short_path.size() + 1);
    return address;
}

Result<UniqueFd> make_stream() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) return fail(Error::last_os("socket"));
    return fd;
}

const sockaddr* as_sockaddr(const Address& address) {
    return reinterpret_cast<const sockaddr*>(&address.raw);
}

}  // namespace

namespace {

Result<SocketPair> make_pair(int type) {
    int fds[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) != 0) return fail(Error::last_os("socketpair"));
    return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace

Result<SocketPair> make_seqpacket_pair() { return make_pair(SOCK_SEQPACKET); }
Result<SocketPair> make_stream_pair() { return make_pair(SOCK_STREAM); }

Result<UniqueFd> listen_stream(const std::string& path, int backlog) {
    SUB_TRY_ASSIGN(const Address address, make_address(path));
    SUB_TRY_ASSIGN(UniqueFd fd, make_stream());
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail(Error::last_os("unlink", path));
    // The directory is private, so nobody can connect before the mode is set.
    if (::bind(fd.get(), as_sockaddr(address), sizeof address.raw) != 0)
        return fail(Error::last_os("bind", path));
    if (::chmod(path.c_str(), 0600) != 0) return fail(Error::last_os("chmod", path));
    if (::listen(fd.get(), backlog) != 0) return fail(Error::last_os("listen", path));
    return fd;
}

Result<UniqueFd> listen_in(int directory, const std::string& name, int backlog) {
    SUB_TRY_ASSIGN(const Address address,
                   make_address("/proc/self/fd/" + std::to_string(directory) + "/" + name));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail(Error::last_os("socket"));
    // unix(7) gives the file the socket's own mode, less the umask: it never has another.
    if (::fchmod(fd.get(), 0600) != 0) return fail(Error::last_os("fchmod", name));
    if (::bind(fd.get(), as_sockaddr(address), sizeof address.raw) != 0)
        return fail(Error::last_os("bind", name));
    if (::listen(fd.get(), backlog) != 0) return fail(Error::last_os("listen", name));
    return fd;
}

Result<UniqueFd> connect_stream(const std::string& path, int limit_ms) {
    SUB_TRY_ASSIGN(const Address address, make_address(path));
    SUB_TRY_ASSIGN(UniqueFd fd, make_stream());
    if (limit_ms > 0) {
        const timeval limit{limit_ms / 1000, static_cast<suseconds_t>(limit_ms % 1000) * 1000};
        for (const int option : {SO_SNDTIMEO, SO_RCVTIMEO})
            if (::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit) != 0)
                return fail(Error::last_os("setsockopt"));
    }
    int result = -1;
    do result = ::connect(fd.get(), as_sockaddr(address), sizeof address.raw);
    while (result != 0 && errno == EINTR);
    if (result != 0) {
        const bool absent = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
        Error error = Error::last_os("connect", path);
        return fail(absent ? std::move(error).as(Errc::unavailable) : std::move(error));
    }
    return fd;
}

Result<UniqueFd> accept_stream(int listener) {
    int fd = -1;
    do fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0) return fail(Error::last_os("accept"));
    return UniqueFd(fd);
}

Result<PeerCredentials> peer_credentials(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return fail(Error::last_os("getsockopt SO_PEERCRED"));
    return PeerCredentials{credentials.pid, credentials.uid, credentials.gid};
}

Result<> send_message(int socket, std::string_view bytes, std::span<const int> fds) {
    if (fds.size() > kMaxPassedFds) return fail({Errc::internal, "too many descriptors in one message"});
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)] = {};
    bool first = true;
    while (first || !bytes.empty()) {
        iovec io{const_cast<char*>(bytes.data()), bytes.size()};
        msghdr message{};
        message.msg_iov = &io;
        message.msg_iovlen = 1;
        if (first && !fds.empty()) {
            message.msg_control = control;
            message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
            std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
        }
        const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("sendmsg"));
        bytes.remove_prefix(static_cast<std::size_t>(n));
        first = false;
    }
    return {};
}

Result<Received> receive_message(int socket, std::span<char> buffer) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassedFds)] = {};
    iovec io{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    ssize_t n = -1;
    do n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Error::last_os("recvmsg"));
    Received received{.size = static_cast<std::size_t>(n), .fds = {}};
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
            received.fds.emplace_back(fd);
        }
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        return fail({Errc::invalid, "a message was cut short"});
    return received;
}

Result<std::size_t> exchange(int socket, std::string_view bytes, std::span<const int> fds,
                             std::span<char> reply) {
    SUB_TRY(send_message(socket, bytes, fds));  // allocates nothing, but for an error
    ssize_t n = -1;
    do n = ::recv(socket, reply.data(), reply.size(), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Error::last_os("recv"));
    return static_cast<std::size_t>(n);
}

Result<std::optional<std::size_t>> receive_now(int socket, std::span<char> buffer) {
    ssize_t n = -1;
    do n = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::optional<std::size_t>();
    if (n < 0) return fail(Error::last_os("recv"));
    return std::optional(static_cast<std::size_t>(n));
}

bool has_hung_up(int socket) {
    char byte = 0;
    ssize_t n = -1;
    do n = ::recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

Result<> send_now(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("send"));
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<bool> wait_readable(int fd, int timeout_ms) {
    pollfd poll_fd{fd, POLLIN, 0};
    int n = -1;
    do n = ::poll(&poll_fd, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Error::last_os("poll"));
    return n > 0;
}

}  // namespace substrate::sys
