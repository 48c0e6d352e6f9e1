#include "sys/namespace.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "sys/file.hpp"

namespace substrate::sys {
namespace {

Result<> write_map(pid_t pid, const char* file, const std::string& text) {
    const std::string path = "/proc/" + std::to_string(pid) + "/" + file;
    SUB_TRY_ASSIGN(const UniqueFd fd, open_path(path, O_WRONLY));
    // One write(2): the kernel takes a map only whole.
    if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return fail(Error::last_os("write", path));
    return {};
}

std::string map_text(const std::vector<IdRange>& ranges) {
    std::string text;
    for (const IdRange& range : ranges)
        text += std::to_string(range.first) + ' ' + std::to_string(range.first) + ' ' +
                std::to_string(range.count) + '\n';
    return text;
}

}  // namespace

Result<> write_identity_maps(pid_t pid, const std::vector<IdRange>& uids, const std::vector<IdRange>& gids) {
    SUB_TRY(write_map(pid, "setgroups", "deny"));
    SUB_TRY(write_map(pid, "uid_map", map_text(uids)));
    return write_map(pid, "gid_map", map_text(gids));
}

Result<std::vector<IdRange>> own_id_ranges(const char* map_file) {
    SUB_TRY_ASSIGN(const std::string text, read_file(std::string("/proc/self/") + map_file, 1 << 16));
    std::vector<IdRange> ranges;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at < end) {
        std::uint32_t columns[3] = {};
        for (std::uint32_t& column : columns) {
            while (at < end && *at == ' ') ++at;
            const auto parsed = std::from_chars(at, end, column);
            if (parsed.ec != std::errc())
                return fail({Errc::internal, std::string("unexpected ") + map_file});
            at = parsed.ptr;
        }
        while (at < end && (*at == ' ' || *at == '\n')) ++at;
        ranges.push_back({columns[0], columns[2]});
    }
    return ranges;
}

std::uint32_t unmapped_uid() {
    constexpr std::uint32_t kAll = 0xffffffff;
    const auto ranges = own_id_ranges("uid_map");
    if (ranges && ranges->size() == 1 && ranges->front().count == kAll) return 0;
    const auto text = read_file("/proc/sys/kernel/overflowuid", 64);
    std::uint32_t uid = 65534;
    if (text) std::from_chars(text->data(), text->data() + text->size(), uid);
    return uid;
}

bool owns_namespace(const char* type) {
    const auto ours = open_path(std::string("/proc/self/ns/") + type, O_RDONLY);
    if (!ours) return false;
    const UniqueFd owner(::ioctl(ours->get(), NS_GET_USERNS));
    if (!owner) return false;
    const auto user = open_path("/proc/self/ns/user", O_RDONLY);
    const auto own = user ? stat_fd(user->get()) : fail(user.error());
    const auto found = stat_fd(owner.get());
    return own && found && own->stx_ino == found->stx_ino;
}

Result<> raise_loopback() {
    const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail(Error::last_os("socket"));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return fail(Error::last_os("SIOCGIFFLAGS", "lo"));
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail(Error::last_os("SIOCSIFFLAGS", "lo"));
    return {};
}

Result<> join_namespace(int fd, int type) {
    if (::setns(fd, type) != 0) return fail(Error::last_os("setns"));
    return {};
}

Result<> set_hostname(const std::string& name) {
    if (::sethostname(name.data(), name.size()) != 0) return fail(Error::last_os("sethostname", name));
    return {};
}

}  // namespace substrate::sys
