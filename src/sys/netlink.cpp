#include "sys/netlink.hpp"

#include <endian.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "sys/unique_fd.hpp"

namespace substrate::sys {
namespace {

constexpr std::size_t kAlign = 4;

template <class T>
std::string_view bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

void pad(std::string& bytes) { bytes.resize((bytes.size() + kAlign - 1) / kAlign * kAlign); }

}  // namespace

void NetlinkBatch::message(std::uint16_t type, std::uint16_t flags, std::string_view header,
                           bool acknowledged) {
    close_message();
    message_ = bytes_.size();
    nlmsghdr head{};
    head.nlmsg_type = type;
    head.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST | (acknowledged ? NLM_F_ACK : 0));
    head.nlmsg_seq = ++sequence_;
    if (acknowledged) ++acknowledgements_;
    bytes_ += bytes_of(head);
    bytes_ += header;
    pad(bytes_);
}

void NetlinkBatch::put(std::uint16_t type, std::string_view bytes) {
    nlattr head{};
    head.nla_type = type;
    head.nla_len = static_cast<std::uint16_t>(sizeof head + bytes.size());
    bytes_ += bytes_of(head);
    bytes_ += bytes;
    pad(bytes_);
}

void NetlinkBatch::put_raw(std::string_view bytes) {
    bytes_ += bytes;
    pad(bytes_);
}

void NetlinkBatch::put_text(std::uint16_t type, std::string_view text) {
    put(type, std::string(text) + '\0');
}
void NetlinkBatch::put_u32(std::uint16_t type, std::uint32_t value) { put(type, bytes_of(value)); }
void NetlinkBatch::put_be32(std::uint16_t type, std::uint32_t value) { put_u32(type, htobe32(value)); }
void NetlinkBatch::put_be64(std::uint16_t type, std::uint64_t value) {
    const std::uint64_t ordered = htobe64(value);
    put(type, bytes_of(ordered));
}

std::size_t NetlinkBatch::open_nest(std::uint16_t type) {
    const std::size_t nest = bytes_.size();
    put(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
    return nest;
}

void NetlinkBatch::close_nest(std::size_t nest) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - nest);
    std::memcpy(bytes_.data() + nest + offsetof(nlattr, nla_len), &length, sizeof length);
}

void NetlinkBatch::close_message() {
    if (message_ == std::string::npos) return;
    const auto length = static_cast<std::uint32_t>(bytes_.size() - message_);
    std::memcpy(bytes_.data() + message_ + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
    message_ = std::string::npos;
}

std::string_view NetlinkBatch::bytes() {
    close_message();
    return bytes_;
}

Result<UniqueFd> open_netlink(int family, unsigned group) {
    UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (group != 0 ? SOCK_NONBLOCK : 0), family));
    if (!socket) return fail(Error::last_os("socket", "AF_NETLINK"));
    if (group != 0) {
        // One that has no address is taken for the kernel, which does not hear itself. An address comes
        // first: it would end memberships.
        const sockaddr_nl any{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0)
            return fail(Error::last_os("bind", "AF_NETLINK"));
        if (::setsockopt(socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
            return fail(Error::last_os("NETLINK_ADD_MEMBERSHIP"));
        return socket;
    }
    // The kernel answers within the call; what never comes must not be waited for.
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return fail(Error::last_os("setsockopt", "AF_NETLINK"));
    return socket;
}

void each_attribute(std::string_view bytes, const std::function<void(int, std::string_view)>& visit) {
    while (bytes.size() >= sizeof(nlattr)) {
        nlattr head{};
        std::memcpy(&head, bytes.data(), sizeof head);
        if (head.nla_len < sizeof head || head.nla_len > bytes.size()) return;
        visit(head.nla_type & NLA_TYPE_MASK, bytes.substr(sizeof head, head.nla_len - sizeof head));
        bytes.remove_prefix(std::min<std::size_t>(NLA_ALIGN(head.nla_len), bytes.size()));
    }
}

std::string_view attribute(std::string_view bytes, int wanted) {
    std::string_view found;
    each_attribute(bytes, [&](int type, std::string_view value) {
        if (type == wanted) found = value;
    });
    return found;
}

Result<> netlink_transact_once(int family, NetlinkBatch& batch) {
    SUB_TRY_ASSIGN(const UniqueFd socket, open_netlink(family));
    return netlink_transact(socket.get(), batch);
}

Result<> netlink_transact(int socket, NetlinkBatch& batch) {
    std::array<char, 16 * 1024> buffer{};
    // Behind an error there may be more of the same batch.
    while (::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) continue;
    const std::string_view bytes = batch.bytes();
    if (::send(socket, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return fail(Error::last_os("send", "AF_NETLINK"));
    for (std::size_t answers = 0; answers < batch.acknowledgements();) {
        const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (got < 0) return fail(Error::last_os("recv", "AF_NETLINK"));
        std::size_t at = 0;
        while (at + sizeof(nlmsghdr) <= static_cast<std::size_t>(got)) {
            nlmsghdr head{};
            std::memcpy(&head, buffer.data() + at, sizeof head);
            if (head.nlmsg_len < sizeof head)
                return fail({Errc::internal, "a netlink message without an end"});
            if (head.nlmsg_type == NLMSG_ERROR) {
                int error = 0;
                std::memcpy(&error, buffer.data() + at + sizeof head, sizeof error);
                if (error != 0)
                    return fail(Error::from_os(-error, "netlink message " + std::to_string(head.nlmsg_seq)));
                ++answers;
            }
            at += (head.nlmsg_len + kAlign - 1) / kAlign * kAlign;
        }
    }
    return {};
}

Result<> netlink_dump(int family, std::uint16_t type, std::string_view header,
                      const std::function<void(std::string_view)>& visit) {
    SUB_TRY_ASSIGN(const UniqueFd socket, open_netlink(family));
    NetlinkBatch question;
    question.message(type, NLM_F_DUMP, header, /*acknowledged=*/false);
    return netlink_dump(socket.get(), question, visit);
}

Result<> netlink_dump(int socket, NetlinkBatch& question,
                      const std::function<void(std::string_view)>& visit) {
    const std::string_view bytes = question.bytes();
    if (::send(socket, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return fail(Error::last_os("send", "AF_NETLINK"));
    // As much as the kernel ever puts together (netlink_dump in net/netlink/af_netlink.c).
    std::vector<char> buffer(32 * 1024);
    for (;;) {
        const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(Error::last_os("recv", "AF_NETLINK"));
        std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
        while (rest.size() >= sizeof(nlmsghdr)) {
            nlmsghdr head{};
            std::memcpy(&head, rest.data(), sizeof head);
            if (head.nlmsg_len < sizeof head || head.nlmsg_len > rest.size())
                return fail({Errc::internal, "a netlink message without an end"});
            const std::string_view payload = rest.substr(sizeof head, head.nlmsg_len - sizeof head);
            // Both begin with what has gone wrong, if anything.
            if (head.nlmsg_type == NLMSG_ERROR || head.nlmsg_type == NLMSG_DONE) {
                int error = 0;
                if (payload.size() >= sizeof error) std::memcpy(&error, payload.data(), sizeof error);
                if (error != 0) return fail(Error::from_os(-error, "netlink list"));
                return {};
            }
            visit(payload);
            rest.remove_prefix(std::min(rest.size(), (head.nlmsg_len + kAlign - 1) / kAlign * kAlign));
        }
    }
}

}  // namespace substrate::sys
