#include "capture/layer_walk.hpp"

#include <fcntl.h>

#include <algorithm>

#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

constexpr std::size_t kMaxLowers = 64;
// Two ticks at the slowest usual rate (HZ=100).
constexpr std::int64_t kClockSlackNs = 20'000'000;

bool same_time(const struct statx_timestamp& a, const struct statx_timestamp& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// A directory or file that came and went between looking it up and opening it.
bool has_vanished(const Error& error) {
    return error.os_errno() == ENOENT || error.os_errno() == ENOTDIR || error.os_errno() == ELOOP;
}

}  // namespace

PathSet::PathSet(std::vector<std::string> paths) : paths_(std::move(paths)) { std::ranges::sort(paths_); }

bool PathSet::contains(std::string_view path) const {
    return std::binary_search(paths_.begin(), paths_.end(), path, std::less<>());
}

bool PathSet::covers(std::string_view path) const {
    for (; !path.empty(); path = parent_part(path))
        if (contains(path)) return true;
    return contains("");
}

LayerWalk::LayerWalk(const LayerWalkInput& input, const ChangeSink& sink)
    : input_(input),
      sink_(sink),
      upper_(input.upper,
             input.unlock_upper ? DirCursor::Unreadable::unlock : DirCursor::Unreadable::locate) {
    for (const int lower : input.lowers) lowers_.emplace_back(lower);
    lower_fds_.resize(lowers_.size(), -1);
    const std::string prefix = input.xattrs == XattrNamespace::user ? "user.overlay." : "trusted.overlay.";
    whiteout_attribute_ = prefix + "whiteout";
    opaque_attribute_ = prefix + "opaque";
    redirect_attribute_ = prefix + "redirect";
}

Result<> LayerWalk::run() {
    if (lowers_.size() > kMaxLowers)
        return fail({Errc::invalid, "more than " + std::to_string(kMaxLowers) + " lower layers"});
    const Mask all = lowers_.size() == kMaxLowers ? ~Mask{0} : (Mask{1} << lowers_.size()) - 1;
    Pending root{0, 0, all, static_cast<std::uint8_t>(kUpper | (input_.layered ? 0 : kOpaque))};
    path_.clear();
    for (;;) {
        SUB_TRY(visit(root));
        if (pending_.empty()) return {};
        root = pending_.back();
        pending_.pop_back();
        // What was visited since lay below this entry's parent, so the path up
        // to there is still in place.
        path_.resize(root.parent_length);
        if (root.parent_length != 0) path_ += '/';
        path_.append(pending_names_, pending_names_.size() - root.name_length);
        pending_names_.resize(pending_names_.size() - root.name_length);
    }
}

void LayerWalk::enter(std::string_view name, Mask lowers, std::uint8_t flags) {
    pending_names_ += name;
    pending_.push_back(
        {static_cast<std::uint32_t>(base_length_), static_cast<std::uint32_t>(name.size()), lowers, flags});
}

void LayerWalk::name_path(std::string_view name) {
    path_.resize(base_length_);
    if (base_length_ != 0) path_ += '/';
    path_ += name;
}

Result<> LayerWalk::visit(const Pending& directory) {
    base_length_ = path_.size();
    std::uint8_t flags = directory.flags;
    upper_fd_ = -1;
    if ((flags & kUpper) != 0) {
        auto opened = upper_.at(path_);
        if (!opened) {
            if (!input_.unlock_upper && has_vanished(opened.error())) return {};
            return fail(std::move(opened).error().during("walking '" + path_ + "'"));
        }
        upper_fd_ = *opened;
        if (input_.layered) {
            SUB_TRY_ASSIGN(const std::uint8_t markers, read_markers(upper_fd_));
            flags |= markers;
        }
    }
    SUB_TRY_DURING(open_lowers(directory.lowers), "walking '" + path_ + "'");
    matched_ = 0;
    if ((flags & kUpper) != 0) SUB_TRY(read_upper(flags));
    const bool lists_lowers = (flags & (kUpper | kOpaque)) != kUpper;
    if (here_ != 0 && lists_lowers) {
        SUB_TRY_ASSIGN(const bool skip, nothing_missing());
        if (!skip) SUB_TRY(read_lowers(flags));
    }
    path_.resize(base_length_);
    return {};
}

Result<> LayerWalk::open_lowers(Mask lowers) {
    here_ = 0;
    marked_lowers_ = 0;
    for (std::size_t i = 0; i < lowers_.size(); ++i) {
        lower_fds_[i] = -1;
        if ((lowers >> i & 1) == 0) continue;
        auto opened = lowers_[i].at(std::string_view(path_).substr(0, base_length_));
        if (!opened) {
            if (has_vanished(opened.error())) continue;
            return fail(std::move(opened).error());
        }
        lower_fds_[i] = *opened;
        here_ |= Mask{1} << i;
        // The bottom layer is a plain tree and is spared the look at its attributes.
        if (!input_.layered || i + 1 == lowers_.size()) continue;
        SUB_TRY_ASSIGN(const std::uint8_t markers, read_markers(*opened));
        if ((markers & kXattrWhiteouts) != 0) marked_lowers_ |= Mask{1} << i;
        if ((markers & kOpaque) != 0) return {};
    }
    return {};
}

// overlayfs: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
Result<std::uint8_t> LayerWalk::read_markers(int dir) const {
    if (input_.whiteout_files) {
        struct ::statx st{};
        SUB_TRY_ASSIGN(const bool opaque_file, sys::stat_entry(dir, std::string(kOpaqueFile).c_str(), st));
        if (opaque_file) return std::uint8_t{kOpaque};
    }
    SUB_TRY_ASSIGN(const bool any, sys::has_xattrs(dir));
    if (!any) return std::uint8_t{0};
    char value[8];
    SUB_TRY_ASSIGN(const auto redirect, sys::get_xattr(dir, redirect_attribute_.c_str(), std::span<char>{}));
    if (redirect)
        return fail(
            {Errc::unsupported, "'" + path_ + "' is redirected: the overlay was mounted with redirect_dir"});
    SUB_TRY_ASSIGN(const auto opaque, sys::get_xattr(dir, opaque_attribute_.c_str(), value));
    if (opaque != std::optional<std::size_t>(1)) return std::uint8_t{0};
    if (value[0] == 'y') return std::uint8_t{kOpaque};
    if (value[0] == 'x') return std::uint8_t{kXattrWhiteouts};
    return std::uint8_t{0};
}

Result<bool> LayerWalk::is_marked_whiteout(int dir, const char* name, const struct ::statx& st) const {
    if ((st.stx_mode & S_IFMT) != S_IFREG || st.stx_size != 0) return false;
    SUB_TRY_ASSIGN(const auto mark,
                   sys::get_xattr_at(dir, name, whiteout_attribute_.c_str(), std::span<char>{}));
    return mark.has_value();
}

Result<> LayerWalk::read_upper(std::uint8_t flags) {
    if (auto rewound = sys::rewind_dir(upper_fd_); !rewound) {
        // EBADF: the cursor could only locate it.
        if (input_.unlock_upper || rewound.error().os_errno() != EBADF) return rewound;
        if (input_.unreadable) input_.unreadable(path_);
        return {};
    }
    sys::DirectoryReader reader(upper_fd_);
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) return {};
        if (auto visited = visit_upper_entry(entry->name, flags); !visited) return visited;
    }
}

Result<> LayerWalk::visit_upper_entry(const char* name, std::uint8_t flags) {
    if (input_.whiteout_files && std::string_view(name).starts_with(kWhiteoutPrefix))
        return name == kOpaqueFile ? Result<>() : visit_whiteout_file(name + kWhiteoutPrefix.size());
    name_path(name);
    if (input_.excluded != nullptr && input_.excluded->contains(path_)) return {};
    SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(upper_fd_, name, after_));
    if (!exists) return {};
    Found lower;
    if (here_ != 0) {
        SUB_TRY_ASSIGN(lower, look_up(name, before_));
    }
    if (lower.any) ++matched_;
    bool whiteout = input_.layered && is_whiteout(after_);
    if (!whiteout && (flags & kXattrWhiteouts) != 0) {
        SUB_TRY_ASSIGN(whiteout, is_marked_whiteout(upper_fd_, name, after_));
    }
    if (!whiteout) return report_upper(name, lower, flags);
    return report_whiteout(name, lower);
}

Result<> LayerWalk::visit_whiteout_file(const char* hidden) {
    SUB_TRY_ASSIGN(const bool made_again, sys::stat_entry(upper_fd_, hidden, after_));
    if (made_again || here_ == 0) return {};
    name_path(hidden);
    SUB_TRY_ASSIGN(const Found lower, look_up(hidden, before_));
    if (lower.any) ++matched_;
    return report_whiteout(hidden, lower);
}

// The upper has an entry that speaks of `name`.
Result<bool> LayerWalk::in_upper(const char* name) {
    SUB_TRY_ASSIGN(const bool there, sys::stat_entry(upper_fd_, name, after_));
    if (there || !input_.whiteout_files) return there;
    return sys::stat_entry(upper_fd_, std::string(kWhiteoutPrefix).append(name).c_str(), after_);
}

Result<> LayerWalk::report_whiteout(const char* name, const Found& lower) {
    if (!lower.any) return {};
    Change change{.path = path_, .kind = ChangeKind::remove, .type = type_of(before_), .before = &before_};
    if (change.type == FileType::symlink) {
        SUB_TRY_ASSIGN(link_before_, sys::read_link_at(lower.dir, name));
        change.link_target = link_before_;
    }
    SUB_TRY(sink_(change));
    if (change.type == FileType::directory) enter(name, lower.lowers, kReported);
    return {};
}

Result<> LayerWalk::report_upper(const char* name, const Found& lower, std::uint8_t flags) {
    Change change{.path = path_,
                  .kind = ChangeKind::create,
                  .type = type_of(after_),
                  .before = lower.any ? &before_ : nullptr,
                  .after = &after_,
                  .nested = (flags & kReported) != 0,
                  .after_dir = upper_fd_,
                  .name = name};
    const bool is_dir = change.type == FileType::directory;
    const auto inherited = static_cast<std::uint8_t>(kUpper | (flags & kOpaque));
    if (sys::to_ns(after_.stx_ctime) < input_.untouched_before_ns && !change.nested) {
        if (is_dir && (!lower.any || is_directory(before_))) enter(name, lower.lowers, inherited);
        return {};
    }
    bool changed = true;
    if (change.type == FileType::symlink) {
        SUB_TRY_ASSIGN(link_after_, sys::read_link_at(upper_fd_, name));
        change.link_target = link_after_;
    }
    if (lower.any) {
        if (type_of(before_) != change.type) {
            change.kind = ChangeKind::type_change;
        } else {
            change.kind = ChangeKind::modify;
            SUB_TRY_ASSIGN(changed, differs(name, lower));
        }
    }
    if (changed) SUB_TRY(sink_(change));
    if (is_dir) {
        const bool merged = change.kind == ChangeKind::modify;
        enter(name, merged ? lower.lowers : Mask{0},
              static_cast<std::uint8_t>(inherited | (merged ? 0 : kReported)));
    } else if (lower.any && is_directory(before_)) {
        enter(name, lower.lowers, kReported);
    }
    return {};
}

Result<bool> LayerWalk::differs(const char* name, const Found& lower) {
    if (after_.stx_mode != before_.stx_mode) return true;
    if (input_.compare_owner && (after_.stx_uid != before_.stx_uid || after_.stx_gid != before_.stx_gid))
        return true;
    // The time of a directory follows from its entries, which speak for themselves.
    if (is_directory(after_)) return false;
    if (after_.stx_size != before_.stx_size || !same_time(after_.stx_mtime, before_.stx_mtime)) return true;
    if (type_of(after_) == FileType::regular) return differs_within_a_tick(name, lower);
    if (type_of(after_) != FileType::symlink) return false;
    SUB_TRY_ASSIGN(link_before_, sys::read_link_at(lower.dir, name));
    return link_before_ != link_after_;
}

// A file that was written twice within one tick of the kernel's clock, before
// and after it was copied up, bears the same time on both sides. Only where that
// is possible do the bytes decide.
Result<bool> LayerWalk::differs_within_a_tick(const char* name, const Found& lower) {
    const std::int64_t birth = sys::to_ns(after_.stx_btime);
    const std::int64_t arrived = birth != 0 ? birth : sys::to_ns(after_.stx_ctime);
    if (sys::to_ns(after_.stx_mtime) + kClockSlackNs < arrived || after_.stx_size == 0) return false;
    const auto upper = sys::open_at(upper_fd_, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const auto below = sys::open_at(lower.dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    // What cannot be read is called changed: a report too many loses nothing.
    if (!upper || !below) return true;
    SUB_TRY_ASSIGN(const bool same, sys::same_contents(upper->get(), below->get()));
    return !same;
}

Result<LayerWalk::Found> LayerWalk::look_up(const char* name, struct ::statx& st) {
    Found found;
    struct ::statx deeper{};
    for (std::size_t i = 0; i < lowers_.size(); ++i) {
        if ((here_ >> i & 1) == 0) continue;
        struct ::statx& into = found.any ? deeper : st;
        SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(lower_fds_[i], name, into));
        if (!exists) continue;
        if (input_.layered && is_whiteout(into)) break;
        if ((marked_lowers_ >> i & 1) != 0) {
            SUB_TRY_ASSIGN(const bool hidden, is_marked_whiteout(lower_fds_[i], name, into));
            if (hidden) break;
        }
        if (found.any && !is_directory(into)) break;
        if (!found.any) found.dir = lower_fds_[i];
        found.any = true;
        if (!is_directory(into)) break;
        found.lowers |= Mask{1} << i;
    }
    return found;
}

// With one lower it is enough to count: listing is much cheaper than looking up.
Result<bool> LayerWalk::nothing_missing() {
    if (upper_fd_ < 0 || lowers_.size() != 1) return false;
    SUB_TRY(sys::rewind_dir(lower_fds_[0]));
    sys::DirectoryReader reader(lower_fds_[0]);
    for (std::uint64_t count = 0;; ++count) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) return count <= matched_;
    }
}

Result<> LayerWalk::read_lowers(std::uint8_t flags) {
    for (std::size_t i = 0; i < lowers_.size(); ++i) {
        if ((here_ >> i & 1) == 0) continue;
        // A directory that may not be read showed nothing to the world either.
        if (!sys::rewind_dir(lower_fds_[i])) continue;
        sys::DirectoryReader reader(lower_fds_[i]);
        for (;;) {
            SUB_TRY_ASSIGN(const auto* entry, reader.next());
            if (entry == nullptr) break;
            if (auto visited = visit_lower_entry(i, entry->name, flags); !visited) return visited;
        }
    }
    return {};
}

// Reports what lower `layer` shows under `name` as removed, unless something
// above it in the stack has the name.
Result<> LayerWalk::visit_lower_entry(std::size_t layer, const char* name, std::uint8_t flags) {
    name_path(name);
    if (input_.excluded != nullptr && input_.excluded->contains(path_)) return {};
    for (std::size_t i = 0; i < layer; ++i) {
        if ((here_ >> i & 1) == 0) continue;
        SUB_TRY_ASSIGN(const bool shadowed, sys::stat_entry(lower_fds_[i], name, after_));
        if (shadowed) return {};
    }
    if (upper_fd_ >= 0) {
        SUB_TRY_ASSIGN(const bool visited, in_upper(name));
        if (visited) return {};
    }
    SUB_TRY_ASSIGN(const Found found, look_up(name, before_));
    if (!found.any) return {};
    if (sys::to_ns(before_.stx_btime) >= input_.untouched_before_ns && input_.untouched_before_ns != 0)
        return {};
    Change change{.path = path_,
                  .kind = ChangeKind::remove,
                  .type = type_of(before_),
                  .before = &before_,
                  .nested = (flags & kReported) != 0};
    if (change.type == FileType::symlink) {
        SUB_TRY_ASSIGN(link_before_, sys::read_link_at(found.dir, name));
        change.link_target = link_before_;
    }
    SUB_TRY(sink_(change));
    if (change.type == FileType::directory) enter(name, found.lowers, kReported);
    return {};
}

}  // namespace substrate::capture
