#include "world/host_sockets.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <mutex>
#include <optional>

#include "base/paths.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/unique_fd.hpp"
#include "sys/unix_names.hpp"

namespace substrate::world {

std::vector<std::string> bound_names(std::string_view text) {
    // Seven columns of fixed words come first; the rest of the line is the name, "@" for an abstract one.
    constexpr int kColumns = 7;
    std::vector<std::string> names;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        for (int column = 0; column < kColumns && !line.empty(); ++column) {
            line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
            line.remove_prefix(std::min(line.find(' '), line.size()));
        }
        if (line.starts_with(" /")) names.emplace_back(line.substr(1));
    }
    return names;
}

namespace {

// All names, when they were last looked at.
struct LastLook {
    std::mutex mutex;
    std::optional<std::chrono::steady_clock::time_point> when;
    std::vector<std::string> names;
};

LastLook& last_look() {
    static LastLook look;
    return look;
}

Result<std::vector<std::string>> all_names() {
    if (auto names = sys::bound_unix_names(/*connected=*/true)) return names;
    constexpr std::size_t kMost = 16 << 20;
    SUB_TRY_ASSIGN(const std::string text, sys::read_file("/proc/net/unix", kMost));
    std::vector<std::string> names = bound_names(text);
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    return names;
}

}  // namespace

Result<std::vector<std::string>> bound_socket_names(std::chrono::nanoseconds connected_after) {
    LastLook& look = last_look();
    const std::scoped_lock lock(look.mutex);
    const auto now = std::chrono::steady_clock::now();
    auto open = look.when && now - *look.when < connected_after ? sys::bound_unix_names(/*connected=*/false)
                                                                : fail({Errc::unavailable, "not looked at"});
    if (!open) {
        SUB_TRY_ASSIGN(look.names, all_names());
        look.when = now;
        return look.names;
    }
    std::vector<std::string> names;
    std::ranges::set_union(*open, look.names, std::back_inserter(names));
    return names;
}

namespace {

// Whoever can make a name there can pass for the service that is meant.
bool anybody_writes_beside(const std::string& path) {
    const int fd = sys::open_resolving(AT_FDCWD, std::string(parent_of(path)).c_str(),
                                       O_PATH | O_DIRECTORY | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
    if (fd < 0) return true;
    const sys::UniqueFd opened(fd);
    const auto st = sys::stat_fd(opened.get());
    return !st || (st->stx_mode & S_IWOTH) != 0;
}

std::string problem_of(const std::string& path, std::uint32_t uid, std::uint64_t& identity) {
    const int fd = sys::open_resolving(AT_FDCWD, path.c_str(), O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
    if (fd == -ENOENT || fd == -ENOTDIR) return "it does not exist";
    // Who may put a link there would choose what the world is shown.
    if (fd == -ELOOP)
        return "a symbolic link is on the way to it; name " + printable(sys::resolve_links(path));
    if (fd < 0) return "it cannot be looked at: " + Error::from_os(-fd, "open").message();
    const sys::UniqueFd opened(fd);
    const auto st = sys::stat_fd(opened.get());
    if (!st) return st.error().message();
    if (!S_ISSOCK(st->stx_mode)) return "it is no socket";
    if (st->stx_uid != uid && st->stx_uid != 0 && anybody_writes_beside(path))
        return "it belongs to another account (uid " + std::to_string(st->stx_uid) +
               "), in a directory where everybody may make one";
    // An inode may be used again; the time of its birth is not.
    identity = st->stx_ino ^ static_cast<std::uint64_t>(sys::to_ns(st->stx_ctime));
    return {};
}

}  // namespace

std::vector<plan::NamedSocket> look_at_sockets(const std::vector<std::string>& paths, std::uint32_t uid) {
    std::vector<plan::NamedSocket> seen;
    for (const std::string& path : paths) {
        plan::NamedSocket& socket = seen.emplace_back();
        socket.path = path;
        socket.problem = problem_of(path, uid, socket.identity);
    }
    return seen;
}

Result<std::vector<std::string>> host_sockets() {
    SUB_TRY_ASSIGN(const auto names, bound_socket_names());
    std::vector<std::string> found;
    for (const std::string& name : names) {
        // Another process's /proc/self is not ours.
        if (is_within(name, "/proc") || has_dot_dot(name)) continue;
        const std::string path = sys::resolve_links(name);
        const auto st = sys::stat_at(AT_FDCWD, path.c_str());
        if (st && *st && S_ISSOCK((*st)->stx_mode)) found.push_back(path);
    }
    std::ranges::sort(found);
    found.erase(std::ranges::unique(found).begin(), found.end());
    return found;
}

}  // namespace substrate::world
