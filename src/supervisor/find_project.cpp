// Apart from session worlds: the client needs it, and must not hold what judges.
#include <fcntl.h>

#include "base/paths.hpp"
#include "supervisor/session_world.hpp"
#include "sys/file.hpp"

namespace substrate::supervisor {

std::string find_project(const std::string& cwd, const std::string& home) {
    for (std::string_view dir = cwd; dir != "/"; dir = parent_of(dir)) {
        // A repository of dotfiles does not make everything below home one project.
        if (dir == home && cwd != home) break;
        for (const char* mark : {"/.git", "/.substrate-profile"}) {
            const auto found = sys::stat_at(AT_FDCWD, (std::string(dir) + mark).c_str());
            if (found && *found) return std::string(dir);
        }
    }
    return cwd;
}

}  // namespace substrate::supervisor
