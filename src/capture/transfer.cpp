#include "capture/transfer.hpp"

#include <fcntl.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "sys/xattr.hpp"

namespace substrate::capture {
namespace {

bool is_overlay_attribute(std::string_view name) {
    return name.starts_with("user.overlay.") || name.starts_with("trusted.overlay.") ||
           name.starts_with("user.fuseoverlayfs.");
}

// Which attributes travel. That of the object that a copy came from is of no use to another one.
bool is_transferred(std::string_view name, bool whole_layer) {
    if (is_overlay_attribute(name)) return whole_layer && !name.ends_with(".origin");
    return name.starts_with("user.");
}

// A file that must be read although its mode says no, as its owner may.
Result<sys::UniqueFd> open_for_copy(int dir, const char* name, const struct ::statx& st, bool unlock) {
    auto fd = sys::open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (fd || !unlock || fd.error().os_errno() != EACCES) return fd;
    const mode_t mode = st.stx_mode & 07777u;
    if (!sys::set_mode_at(dir, name, mode | S_IRUSR)) return fd;
    auto again = sys::open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    SUB_TRY(sys::set_mode_at(dir, name, mode));
    return again;
}

Result<> copy_regular(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                      bool unlock) {
    SUB_TRY_ASSIGN(const auto source, open_for_copy(from_dir, from, st, unlock));
    SUB_TRY_ASSIGN(const auto opened, sys::stat_fd(source.get()));
    if (opened.stx_ino != st.stx_ino || (opened.stx_mode & S_IFMT) != S_IFREG)
        return fail({Errc::conflict, std::string("'") + from + "' was replaced while it was copied"});
    SUB_TRY_ASSIGN(const auto target, sys::create_file_at(to_dir, to));
    return sys::copy_contents(source.get(), target.get(), opened.stx_size);
}

Result<> make_copy_of(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                      const CopyRules& rules) {
    switch (type_of(st)) {
        case FileType::regular: return copy_regular(from_dir, from, st, to_dir, to, rules.unlock_source);
        case FileType::symlink: {
            SUB_TRY_ASSIGN(const std::string target, sys::read_link_at(from_dir, from));
            return sys::make_symlink_at(target.c_str(), to_dir, to);
        }
        case FileType::fifo: return sys::make_fifo_at(to_dir, to, 0600);
        case FileType::socket: return sys::make_socket_at(to_dir, to);
        default: return fail({Errc::unsupported, std::string("'") + from + "' is a device node"});
    }
}

// Builds the copy of a tree from what a walk of the source reports.
class TreeCopy {
  public:
    TreeCopy(int to, const CopyRules& rules, const SkipSink& skip)
        : rules_(rules), skip_(skip), target_(to), linked_(to) {}

    Result<> take(const Change& change) {
        if (rules_.whiteout_files && name_part(change.path).starts_with(kWhiteoutPrefix)) return {};
        if (rules_.whole_layer && is_whiteout(*change.after)) {
            SUB_TRY_ASSIGN(const int dir, target_.at(parent_part(change.path)));
            return sys::make_whiteout_at(dir, change.name);
        }
        if (const char* reason = refusal_of(change.type, rules_.keep_sockets)) {
            skip_(change.path, reason);
            return {};
        }
        SUB_TRY_ASSIGN(const int dir, target_.at(parent_part(change.path)));
        if (change.type != FileType::directory) return copy_one(change, dir);
        SUB_TRY(sys::make_dir_at(dir, change.name, 0700));
        SUB_TRY(copy_user_attributes(change.after_dir, change.name, dir, change.name, rules_.whole_layer));
        directories_.push_back({std::string(change.path), *change.after});
        return {};
    }

    // Directories get their metadata when nothing is made in them any more: a
    // read-only one must not hinder its own filling, nor its time move on.
    Result<> finish() {
        for (; !directories_.empty(); directories_.pop_back()) {
            const auto& [path, st] = directories_.back();
            SUB_TRY_ASSIGN(const int dir, target_.at(parent_part(path)));
            SUB_TRY(set_metadata(dir, std::string(name_part(path)).c_str(), st, rules_));
        }
        return {};
    }

  private:
    struct Directory {
        std::string path;
        struct ::statx st;
    };

    Result<> copy_one(const Change& change, int dir) {
        if (change.after->stx_nlink > 1) {
            const auto [known, added] = links_.try_emplace(change.after->stx_ino, change.path);
            if (!added) {
                SUB_TRY_ASSIGN(const int other, linked_.at(parent_part(known->second)));
                return sys::link_at(other, std::string(name_part(known->second)).c_str(), dir, change.name);
            }
        }
        auto copied = copy_object(change.after_dir, change.name, *change.after, dir, change.name, rules_);
        if (copied || copied.error().os_errno() != EACCES) return copied;
        skip_(change.path, "may not be read");
        links_.erase(change.after->stx_ino);
        return {};
    }

    CopyRules rules_;
    const SkipSink& skip_;
    DirCursor target_;
    DirCursor linked_;
    std::unordered_map<std::uint64_t, std::string> links_;  // the first path of each inode with several
    std::vector<Directory> directories_;
};

}  // namespace

const char* refusal_of(FileType type, bool sockets_too) {
    switch (type) {
        case FileType::char_device:
        case FileType::block_device: return "device nodes are never created";
        case FileType::socket: return sockets_too ? nullptr : "a socket cannot be copied";
        default: return nullptr;
    }
}

mode_t transferred_mode(const struct ::statx& st, Privileges privileges) {
    mode_t mode = st.stx_mode & 07777u;
    if (privileges == Privileges::keep) return mode;
    mode &= ~static_cast<mode_t>(S_ISUID);
    if (!is_directory(st)) mode &= ~static_cast<mode_t>(S_ISGID);
    return mode;
}

Result<> copy_user_attributes(int from_dir, const char* from, int to_dir, const char* to, bool whole_layer) {
    SUB_TRY_ASSIGN(const auto names, sys::list_xattrs_at(from_dir, from));
    for (const auto& attribute : names) {
        if (!is_transferred(attribute, whole_layer)) continue;
        SUB_TRY_ASSIGN(const std::string value, sys::read_xattr_at(from_dir, from, attribute));
        auto set = sys::set_xattr_at(to_dir, to, attribute.c_str(), value);
        // A target without extended attributes keeps the content at least.
        if (!set && set.error().os_errno() != EOPNOTSUPP) return set;
    }
    return {};
}

Result<> set_metadata(int dir, const char* name, const struct ::statx& st, const CopyRules& rules) {
    if (rules.keep_owner) SUB_TRY(sys::set_owner_at(dir, name, st.stx_uid, st.stx_gid));
    if (type_of(st) != FileType::symlink)
        SUB_TRY(sys::set_mode_at(dir, name, transferred_mode(st, rules.privileges)));
    return sys::set_mtime_at(dir, name, st);
}

Result<> copy_object(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                     const CopyRules& rules) {
    const auto copy = [&]() -> Result<> {
        SUB_TRY(make_copy_of(from_dir, from, st, to_dir, to, rules));
        SUB_TRY(copy_user_attributes(from_dir, from, to_dir, to, rules.whole_layer));
        return set_metadata(to_dir, to, st, rules);
    };
    auto copied = copy();
    // EEXIST: the name is somebody else's, not a half-made copy.
    if (!copied && copied.error().os_errno() != EEXIST) (void)sys::unlink_at(to_dir, to);
    return copied;
}

Result<> copy_tree_contents(int from, int to, const CopyRules& rules, const PathSet* excluded,
                            const SkipSink& skip, std::uint64_t* objects) {
    TreeCopy copy(to, rules, skip);
    const ChangeSink sink = [&](const Change& change) {
        if (objects != nullptr) ++*objects;
        return copy.take(change);
    };
    LayerWalk walk({.upper = from,
                    .layered = false,
                    .unlock_upper = rules.unlock_source,
                    .excluded = excluded,
                    .unreadable = [&](std::string_view path) { skip(path, "may not be read"); }},
                   sink);
    SUB_TRY(walk.run());
    return copy.finish();
}

Result<> copy_directory(int from_dir, const char* from, const struct ::statx& st, int to_dir, const char* to,
                        const CopyRules& rules, const SkipSink& skip) {
    SUB_TRY(sys::make_dir_at(to_dir, to, 0700));
    const auto fill = [&]() -> Result<> {
        DirCursor source(from_dir,
                         rules.unlock_source ? DirCursor::Unreadable::unlock : DirCursor::Unreadable::locate);
        SUB_TRY_ASSIGN(const int contents, source.at(from));
        SUB_TRY_ASSIGN(const auto target, sys::open_dir_at(to_dir, to));
        SUB_TRY(copy_tree_contents(contents, target.get(), rules, nullptr, skip));
        SUB_TRY(copy_user_attributes(from_dir, from, to_dir, to, rules.whole_layer));
        return set_metadata(to_dir, to, st, rules);
    };
    auto filled = fill();
    if (!filled) (void)sys::remove_tree_at(to_dir, to);
    return filled;
}

Result<> clean_object(int dir, const char* name, const struct ::statx& st) {
    SUB_TRY_ASSIGN(const auto attributes, sys::list_xattrs_at(dir, name));
    for (const auto& attribute : attributes)
        if (is_overlay_attribute(attribute) || attribute == "security.capability")
            SUB_TRY(sys::remove_xattr_at(dir, name, attribute.c_str()));
    const mode_t mode = st.stx_mode & 07777u;
    const mode_t wanted = transferred_mode(st, Privileges::strip);
    if (mode != wanted && type_of(st) != FileType::symlink) SUB_TRY(sys::set_mode_at(dir, name, wanted));
    return {};
}

Result<> clean_tree_contents(int dir, const SkipSink& skip, bool whiteout_files) {
    const ChangeSink sink = [&](const Change& change) -> Result<> {
        if (whiteout_files && name_part(change.path).starts_with(kWhiteoutPrefix))
            return sys::unlink_at(change.after_dir, change.name);
        if (refusal_of(change.type, /*sockets_too=*/true) == nullptr)
            return clean_object(change.after_dir, change.name, *change.after);
        if (!is_whiteout(*change.after)) skip(change.path, refusal_of(change.type, /*sockets_too=*/true));
        return sys::unlink_at(change.after_dir, change.name);
    };
    LayerWalk walk({.upper = dir, .layered = false}, sink);
    return walk.run();
}

}  // namespace substrate::capture
