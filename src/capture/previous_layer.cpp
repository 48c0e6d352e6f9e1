#include "capture/previous_layer.hpp"

#include <linux/fs.h>
#include <stdio.h>

#include <cerrno>

#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

bool cannot_move(const Error& error) {
    // EXDEV: another file system or mount. EINVAL: no RENAME_NOREPLACE there.
    return error.os_errno() == EXDEV || error.os_errno() == EINVAL;
}

Result<> copy_any(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                  const CopyRules& rules) {
    if (!is_directory(st)) return copy_object(from_dir, from, st, to_dir, to, rules);
    // A tree that cannot be kept whole must not be removed.
    std::string left_out;
    const SkipSink skip = [&](std::string_view path, const char* reason) {
        if (left_out.empty()) left_out.append(path).append(": ").append(reason);
    };
    SUB_TRY(copy_directory(from_dir, from, st, to_dir, to, rules, skip));
    if (left_out.empty()) return {};
    SUB_TRY(sys::remove_tree_at(to_dir, to));
    return fail({Errc::unsupported, "cannot keep " + left_out});
}

}  // namespace

Result<> move_object(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to) {
    auto moved = sys::rename_at(from_dir, from, to_dir, to, RENAME_NOREPLACE);
    if (moved || moved.error().os_errno() != EACCES || !is_directory(st)) return moved;
    const mode_t mode = st.stx_mode & 07777u;
    if ((mode & S_IWUSR) != 0 || !sys::set_mode_at(from_dir, from, mode | S_IRWXU)) return moved;
    auto again = sys::rename_at(from_dir, from, to_dir, to, RENAME_NOREPLACE);
    SUB_TRY(again ? sys::set_mode_at(to_dir, to, mode) : sys::set_mode_at(from_dir, from, mode));
    return again;
}

Result<> move_or_copy(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                      const CopyRules& rules) {
    auto moved = move_object(from_dir, from, st, to_dir, to);
    if (moved || !cannot_move(moved.error())) return moved;
    SUB_TRY(copy_any(from_dir, from, st, to_dir, to, rules));
    return sys::remove_tree_at(from_dir, from);
}

PreviousLayer::PreviousLayer(int project, int layer, bool keep_owner)
    : rules_{.keep_owner = keep_owner, .keep_sockets = true}, host_cursor_(project), layer_cursor_(layer) {}

Result<> PreviousLayer::keep_directory(std::string_view path) {
    if (made_.contains(std::string(path))) return {};
    struct ::statx st{};
    if (path.empty()) {
        SUB_TRY_ASSIGN(const int root, host_cursor_.at({}));
        SUB_TRY(sys::stat_entry(root, ".", st));
    } else {
        SUB_TRY(keep_directory(parent_part(path)));
        const std::string name(name_part(path));
        SUB_TRY_ASSIGN(const int host, host_cursor_.at(parent_part(path)));
        SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(host, name.c_str(), st));
        if (!exists) return fail({Errc::conflict, std::string(path).append(" was removed on the host")});
        SUB_TRY_ASSIGN(const int layer, layer_cursor_.at(parent_part(path)));
        SUB_TRY(sys::make_dir_at(layer, name.c_str(), 0700));
        SUB_TRY(copy_user_attributes(host, name.c_str(), layer, name.c_str()));
    }
    directories_.push_back({std::string(path), st});
    made_.emplace(path);
    return {};
}

Result<int> PreviousLayer::parent_of(std::string_view path) {
    SUB_TRY(keep_directory(parent_part(path)));
    return layer_cursor_.at(parent_part(path));
}

Result<PreviousLayer::Kept> PreviousLayer::keep_absence(std::string_view path) {
    SUB_TRY_ASSIGN(const int layer, parent_of(path));
    auto made = sys::make_whiteout_at(layer, std::string(name_part(path)).c_str());
    if (made) return Kept::whiteout;
    // overlayfs refuses with EPERM, file systems without device nodes with these.
    const int code = made.error().os_errno();
    if (code != EPERM && code != EOPNOTSUPP && code != EINVAL) return fail(std::move(made).error());
    complete_ = false;
    return Kept::nothing;
}

Result<PreviousLayer::Kept> PreviousLayer::keep_file(std::string_view path, int host_dir, const char* name,
                                                     const struct ::statx& st) {
    SUB_TRY_ASSIGN(const int layer, parent_of(path));
    // With a second link on the host the kept content could still be written to.
    if (st.stx_nlink == 1 && sys::link_at(host_dir, name, layer, name)) return Kept::linked;
    SUB_TRY(copy_object(host_dir, name, st, layer, name, rules_));
    return Kept::copied;
}

Result<PreviousLayer::Kept> PreviousLayer::take_away(std::string_view path, int host_dir, const char* name,
                                                     const struct ::statx& st) {
    SUB_TRY_ASSIGN(const int layer, parent_of(path));
    if (is_directory(st) || st.stx_nlink == 1) {
        auto moved = move_object(host_dir, name, st, layer, name);
        if (moved) {
            host_cursor_.forget();
            return Kept::moved;
        }
        if (!cannot_move(moved.error())) return fail(std::move(moved).error());
    }
    SUB_TRY(copy_any(host_dir, name, st, layer, name, rules_));
    return Kept::copied;
}

Result<> PreviousLayer::finish() {
    // Parents stand before their children, so the children come first here.
    for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
        SUB_TRY_ASSIGN(const int layer, layer_cursor_.at(parent_part(it->path)));
        const std::string name = it->path.empty() ? "." : std::string(name_part(it->path));
        SUB_TRY(set_metadata(layer, name.c_str(), it->st, rules_));
    }
    return {};
}

void PreviousLayer::abandon() {
    for (; !directories_.empty(); directories_.pop_back()) {
        const auto& [path, st] = directories_.back();
        const std::string name = path.empty() ? "." : std::string(name_part(path));
        // Best effort: an empty directory or a time left behind changes no content.
        if (auto host = host_cursor_.at(parent_part(path)); host)
            (void)sys::set_mtime_at(*host, name.c_str(), st);
        if (path.empty()) continue;
        if (auto layer = layer_cursor_.at(parent_part(path)); layer)
            (void)sys::remove_dir_at(*layer, name.c_str());
    }
    made_.clear();
}

}  // namespace substrate::capture
