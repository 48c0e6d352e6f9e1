#include "sys/activation.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace substrate::sys {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr int kMost = 16;

std::optional<int> number_in(const Env& env, std::string_view name) {
    const auto text = env.variable(name);
    int value = 0;
    if (!text) return std::nullopt;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
    return value;
}

Result<int> option_of(int fd, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0)
        return fail(Error::last_os("getsockopt").as(Errc::invalid));
    return value;
}

Result<std::string> listening_path(int fd) {
    SUB_TRY_ASSIGN(const int domain, option_of(fd, SO_DOMAIN));
    SUB_TRY_ASSIGN(const int type, option_of(fd, SO_TYPE));
    SUB_TRY_ASSIGN(const int listening, option_of(fd, SO_ACCEPTCONN));
    if (domain != AF_UNIX || type != SOCK_STREAM || listening == 0)
        return fail({Errc::invalid, "it is no listening Unix stream socket"});
    sockaddr_un address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return fail(Error::last_os("getsockname"));
    // The path may fill its field, without an end mark.
    const std::string path(address.sun_path,
                           ::strnlen(address.sun_path, size - offsetof(sockaddr_un, sun_path)));
    if (!path.starts_with('/')) return fail({Errc::invalid, "its address is no path"});
    return path;
}

}  // namespace

Result<std::vector<PassedSocket>> take_passed_sockets(const Env& env) {
    std::vector<PassedSocket> sockets;
    const auto count = number_in(env, "LISTEN_FDS");
    if (!count || number_in(env, "LISTEN_PID") != ::getpid()) return sockets;
    if (*count < 0 || *count > kMost)
        return fail(Error(Errc::invalid, "LISTEN_FDS says " + std::to_string(*count))
                        .hint("pass the sockets of Substrate's own units"));
    for (int fd = kFirst; fd < kFirst + *count; ++fd) {
        if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            return fail(Error::last_os("fcntl", "passed descriptor " + std::to_string(fd)).as(Errc::invalid));
        PassedSocket passed{UniqueFd(fd), {}};
        SUB_TRY_ASSIGN_DURING(passed.path, listening_path(fd), "passed descriptor " + std::to_string(fd));
        sockets.push_back(std::move(passed));
    }
    return sockets;
}

Result<> notify_manager(const Env& env, std::string_view state) {
    const auto name = env.variable("NOTIFY_SOCKET");
    if (!name || name->empty()) return {};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if ((name->front() != '/' && name->front() != '@') || name->size() >= sizeof address.sun_path)
        return fail({Errc::invalid, "NOTIFY_SOCKET '" + *name + "' is no address of a Unix socket"});
    std::memcpy(address.sun_path, name->data(), name->size());
    if (name->front() == '@') address.sun_path[0] = '\0';  // abstract
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail(Error::last_os("socket"));
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name->size());
    if (::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), size) < 0)
        return fail(Error::last_os("sendto", *name));
    return {};
}

}  // namespace substrate::sys
