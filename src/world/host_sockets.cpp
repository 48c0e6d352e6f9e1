#include "world/host_sockets.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/paths.hpp"
#include "sys/file.hpp"
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

Result<std::vector<std::string>> bound_socket_names() {
    if (auto names = sys::bound_unix_names()) return names;
    constexpr std::size_t kMost = 16 << 20;
    SUB_TRY_ASSIGN(const std::string text, sys::read_file("/proc/net/unix", kMost));
    return bound_names(text);
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
