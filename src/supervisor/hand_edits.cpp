#include "supervisor/hand_edits.hpp"

#include <fcntl.h>

#include "base/text.hpp"
#include "capture/dir_cursor.hpp"
#include "capture/layer_walk.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {
namespace {

// True when a mount with this layer on top shows what the layer says of `path`.
Result<bool> covers(capture::DirCursor& layer, std::string_view path) {
    const auto dir = layer.at(capture::parent_part(path));
    // A whiteout or a file where the directory is now.
    if (!dir && (dir.error().os_errno() == ENOTDIR || dir.error().os_errno() == ELOOP)) return true;
    if (!dir && dir.error().os_errno() == ENOENT) return false;
    if (!dir) return fail(dir.error());
    struct ::statx st{};
    return sys::stat_entry(*dir, std::string(capture::name_part(path)).c_str(), st);
}

}  // namespace

Result<std::vector<std::string>> hand_edits(const Store& store, const std::vector<std::string>& layers,
                                            std::int64_t since_ns, std::size_t most) {
    constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    SUB_TRY_ASSIGN(const sys::UniqueFd project, sys::open_path(store.project(), kDirectory));
    std::vector<sys::UniqueFd> open;
    std::vector<capture::DirCursor> cursors;
    for (const std::string& layer : layers) {
        SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_at(store.fd(), layer, kDirectory));
        cursors.emplace_back(fd.get());
        open.push_back(std::move(fd));
    }
    std::vector<std::string> found;
    const capture::ChangeSink look = [&](const capture::Change& now) -> Result<> {
        if (now.type == FileType::directory || sys::to_ns(now.after->stx_ctime) < since_ns) return {};
        if (found.size() >= most) return {};
        for (capture::DirCursor& cursor : cursors) {
            SUB_TRY_ASSIGN(const bool covered, covers(cursor, now.path));
            if (covered) return {};
        }
        found.emplace_back(now.path);
        return {};
    };
    capture::LayerWalk walk({.upper = project.get(), .layered = false, .unlock_upper = false}, look);
    SUB_TRY_DURING(walk.run(), "looking for edits in '" + printable(store.project()) + "'");
    return found;
}

}  // namespace substrate::supervisor
