#include "capture/dir_cursor.hpp"

#include <limits.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "capture/change.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {

void DirCursor::OpenDir::close() {
    // Best effort: the mode that was seen is already in the report.
    if (fd_ && locked_mode_ >= 0) (void)sys::set_mode(fd_.get(), static_cast<mode_t>(locked_mode_));
    fd_.reset();
    locked_mode_ = -1;
}

DirCursor::OpenDir& DirCursor::OpenDir::operator=(OpenDir&& other) noexcept {
    close();
    fd_ = std::move(other.fd_);
    locked_mode_ = std::exchange(other.locked_mode_, -1);
    return *this;
}

void DirCursor::forget() {
    levels_.clear();
    path_.clear();
}

Result<int> DirCursor::at(std::string_view path) {
    const auto shared = static_cast<std::size_t>(std::ranges::mismatch(path_, path).in1 - path_.begin());
    std::size_t keep = 0;
    while (keep < levels_.size() && levels_[keep].end <= shared &&
           (levels_[keep].end == path.size() || path[levels_[keep].end] == '/'))
        ++keep;
    levels_.erase(levels_.begin() + static_cast<std::ptrdiff_t>(keep), levels_.end());
    path_.assign(path);
    for (std::size_t begin = keep == 0 ? 0 : levels_[keep - 1].end + 1; begin < path_.size();) {
        const auto slash = path_.find('/', begin);
        levels_.push_back({slash == std::string::npos ? path_.size() : slash, {}});
        begin = levels_.back().end + 1;
    }
    if (levels_.empty()) return root_;
    // The lowest level that is still open; what follows it is opened (again).
    std::size_t next = levels_.size();
    while (next > 0 && levels_[next - 1].dir.get() < 0) --next;
    for (; next < levels_.size(); ++next) {
        if (auto opened = open_level(next); !opened) {
            const std::size_t end = next == 0 ? 0 : levels_[next - 1].end;
            levels_.erase(levels_.begin() + static_cast<std::ptrdiff_t>(next), levels_.end());
            path_.resize(end);
            return fail(std::move(opened).error());
        }
    }
    return levels_.back().dir.get();
}

Result<> DirCursor::open_level(std::size_t index) {
    const std::size_t begin = index == 0 ? 0 : levels_[index - 1].end + 1;
    const std::size_t length = levels_[index].end - begin;
    char name[NAME_MAX + 1];
    if (length > NAME_MAX) return fail(Error::from_os(ENAMETOOLONG, "opening a directory"));
    std::memcpy(name, path_.data() + begin, length);
    name[length] = '\0';
    // A component that leads up or nowhere is never a name a walk reported.
    if (length == 0 || std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0)
        return fail({Errc::safety, "the path '" + path_ + "' is not plain"});
    const int parent = index == 0 ? root_ : levels_[index - 1].dir.get();
    SUB_TRY_ASSIGN(levels_[index].dir, open_component(parent, name));
    if (index >= kOpen) levels_[index - kOpen].dir.close();
    return {};
}

Result<DirCursor::OpenDir> DirCursor::open_component(int parent, const char* name) const {
    auto opened = sys::open_dir_at(parent, name);
    if (opened) return OpenDir(*std::move(opened), -1);
    if (opened.error().os_errno() != EACCES) return fail(std::move(opened).error());
    if (unreadable_ == Unreadable::locate) {
        SUB_TRY_ASSIGN(sys::UniqueFd located, sys::open_dir_location_at(parent, name));
        return OpenDir(std::move(located), -1);
    }
    struct ::statx st{};
    SUB_TRY_ASSIGN(const bool found, sys::stat_entry(parent, name, st));
    const int mode = st.stx_mode & 07777;
    if (!found || !is_directory(st) || (mode & S_IRWXU) == S_IRWXU) return fail(std::move(opened).error());
    SUB_TRY(sys::set_mode_at(parent, name, static_cast<mode_t>(mode) | S_IRWXU));
    SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_dir_at(parent, name));
    return OpenDir(std::move(fd), mode);
}

}  // namespace substrate::capture
