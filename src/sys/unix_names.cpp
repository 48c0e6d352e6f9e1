#include "sys/unix_names.hpp"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <string_view>

#include "sys/netlink.hpp"

namespace substrate::sys {
namespace {

// The name among the attributes of a socket, without the NUL that its owner may have counted.
std::string_view name_in(std::string_view attributes) {
    const std::string_view name = attribute(attributes, UNIX_DIAG_NAME);
    return name.substr(0, std::min(name.find('\0'), name.size()));
}

}  // namespace

Result<std::vector<std::string>> bound_unix_names(bool connected) {
    unix_diag_req question{};
    question.sdiag_family = AF_UNIX;
    question.udiag_states = (1U << TCP_LISTEN) | (1U << TCP_CLOSE);
    if (connected) question.udiag_states |= 1U << TCP_ESTABLISHED;
    question.udiag_show = UDIAG_SHOW_NAME;
    std::vector<std::string> names;
    SUB_TRY(netlink_dump(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY,
                         {reinterpret_cast<const char*>(&question), sizeof question},
                         [&](std::string_view found) {
                             if (found.size() < sizeof(unix_diag_msg)) return;
                             const std::string_view name = name_in(found.substr(sizeof(unix_diag_msg)));
                             if (name.starts_with('/')) names.emplace_back(name);
                         }));
    // A connected stream has the name of the listener that it came from.
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    return names;
}

}  // namespace substrate::sys
