#include "capture/apply_writer.hpp"

#include <linux/fs.h>
#include <stdio.h>

#include "base/paths.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

using Kept = PreviousLayer::Kept;

Error changed_meanwhile(const std::string& path) {
    return {Errc::conflict, "'" + path + "' changed while the change was applied"};
}

bool has_whiteout_files(const ApplyRequest& request) {
    const auto* layers = std::get_if<OverlayLayers>(&request.source);
    return layers != nullptr && layers->whiteout_files;
}

}  // namespace

ApplyWriter::ApplyWriter(const ApplyRequest& request, ApplyReport& report)
    : request_(request),
      report_(report),
      movable_(request.movable),
      privileged_(sys::effective_uid() == 0),
      rules_{.keep_owner = request.keep_owner,
             .privileges = Privileges::strip,
             .whiteout_files = has_whiteout_files(request),
             .unlock_source = true},
      source_(source_dir(request), DirCursor::Unreadable::unlock),
      host_(request.project),
      previous_(request.project, request.before_dir, request.keep_owner),
      temporaries_(request.temporary_prefix, request.journal_dir) {}

Result<> ApplyWriter::perform(const ApplyStep& step) {
    Result<> done;
    switch (step.action) {
        case ApplyStep::Action::put: done = put(step); break;
        case ApplyStep::Action::set_directory: done = set_directory(step); break;
        case ApplyStep::Action::remove: done = remove(step); break;
    }
    if (!done) return fail(std::move(done).error().during("applying '" + step.path + "'"));
    return {};
}

Result<> ApplyWriter::find_source(const ApplyStep& step, Ends& ends) {
    ends.name = name_part(step.path);
    SUB_TRY_ASSIGN(ends.source, source_.at(parent_part(step.path)));
    SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(ends.source, ends.name.c_str(), ends.now));
    if (!exists || type_of(ends.now) != step.type) return fail(changed_meanwhile(step.path));
    return {};
}

Result<> ApplyWriter::find_host(const ApplyStep& step, Ends& ends, struct ::statx& host) {
    ends.name = name_part(step.path);
    auto dir = host_.at(parent_part(step.path));
    if (!dir && dir.error().os_errno() == ENOENT && step.action == ApplyStep::Action::put) {
        SUB_TRY(make_parents(parent_part(step.path)));
        dir = host_.at(parent_part(step.path));
    }
    SUB_TRY_ASSIGN(ends.host, std::move(dir));
    SUB_TRY(unlock_host(parent_part(step.path), ends.host));
    SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(ends.host, ends.name.c_str(), host));
    if (exists != step.host_exists) return fail(changed_meanwhile(step.path));
    if (exists && (type_of(host) != step.host_type || host.stx_ino != step.host_inode ||
                   sys::to_ns(host.stx_mtime) != step.host_mtime_ns))
        return fail(changed_meanwhile(step.path));
    return {};
}

// A read-only directory that the world made writable and read-only again shows
// no change itself, but what it holds changed.
Result<> ApplyWriter::unlock_host(std::string_view path, int dir) {
    if (privileged_ || path == unlocked_ || path.empty()) return {};
    unlocked_ = path;
    struct ::statx st{};
    SUB_TRY(sys::stat_entry(dir, ".", st));
    if ((st.stx_mode & S_IWUSR) != 0 || st.stx_uid != sys::effective_uid()) return {};
    SUB_TRY(previous_.keep_directory(path));
    undo_.push_back({.path = std::string(path), .what = Undo::What::directory_metadata, .previous = st});
    SUB_TRY(sys::set_mode(dir, (st.stx_mode & 07777u) | S_IRWXU));
    late_.push_back({std::string(path), st});
    return {};
}

// The new directories above a path that was selected without them.
Result<> ApplyWriter::make_parents(std::string_view path) {
    if (host_.at(path)) return {};
    if (!parent_part(path).empty()) SUB_TRY(make_parents(parent_part(path)));
    const std::string name(name_part(path));
    struct ::statx st{};
    SUB_TRY_ASSIGN(const int source, source_.at(parent_part(path)));
    SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(source, name.c_str(), st));
    if (!exists || !is_directory(st)) return fail(changed_meanwhile(std::string(path)));
    // One whiteout hides the whole new tree; what is in it needs none.
    Undo undo{.path = std::string(path), .what = Undo::What::made_parent};
    if (new_root_.empty() || !is_within(path, new_root_)) {
        SUB_TRY_ASSIGN(undo.kept, previous_.keep_absence(path));
        new_root_ = path;
    }
    undo_.push_back(std::move(undo));
    SUB_TRY_ASSIGN(const int host, host_.at(parent_part(path)));
    SUB_TRY(sys::make_dir_at(host, name.c_str(), 0700));
    undo_.back().wrote = true;
    late_.push_back({std::string(path), st});
    return {};
}

Result<> ApplyWriter::put(const ApplyStep& step) {
    Ends ends;
    struct ::statx host{};
    SUB_TRY(find_source(step, ends));
    if (const char* reason = refusal_of(step.type, movable_)) {
        report_.skipped.push_back({step.path, reason});
        return {};
    }
    SUB_TRY(find_host(step, ends, host));
    SUB_TRY_ASSIGN(ends.source, source_.at(parent_part(step.path)));
    undo_.push_back({.path = step.path});
    Undo& undo = undo_.back();
    if (!step.host_exists) {
        if (new_root_.empty() || !is_within(step.path, new_root_)) {
            SUB_TRY_ASSIGN(undo.kept, previous_.keep_absence(step.path));
        }
    } else {
        SUB_TRY(clear_host(step, ends, host, undo));
        SUB_TRY_ASSIGN(ends.host, host_.at(parent_part(step.path)));
    }
    if (step.type == FileType::directory) {
        SUB_TRY(put_directory(step, ends, undo));
    } else {
        SUB_TRY(put_file(step, ends, undo));
    }
    return {};
}

// Keeps what is at the path. A file stays there, to be replaced in one rename; a
// directory cannot be and goes.
Result<> ApplyWriter::clear_host(const ApplyStep& step, const Ends& ends, const struct ::statx& host,
                                 Undo& undo) {
    if (step.host_type != FileType::directory) {
        SUB_TRY_ASSIGN(undo.kept, previous_.keep_file(step.path, ends.host, ends.name.c_str(), host));
        return {};
    }
    return take_away(step, ends, host, undo);
}

Result<> ApplyWriter::take_away(const ApplyStep& step, const Ends& ends, const struct ::statx& host,
                                Undo& undo) {
    SUB_TRY_ASSIGN(undo.kept, previous_.take_away(step.path, ends.host, ends.name.c_str(), host));
    if (step.host_type == FileType::directory) host_.forget();
    if (undo.kept == Kept::moved) {
        undo.host_lost = true;
        return {};
    }
    SUB_TRY_ASSIGN(const int dir, host_.at(parent_part(step.path)));
    // Out of the way in one rename, so that the path never shows half a tree.
    SUB_TRY_ASSIGN(const std::string aside,
                   temporaries_.name(dir, parent_part(step.path), ends.name, Temporaries::Use::disposable));
    auto moved = move_object(dir, ends.name.c_str(), host, dir, aside.c_str());
    // A directory of an overlay's lower layer often cannot be renamed at all.
    if (!moved && moved.error().os_errno() != EXDEV) return moved;
    undo.host_lost = true;
    return sys::remove_tree_at(dir, moved ? aside : ends.name);
}

// False when the file has to be copied.
Result<bool> ApplyWriter::move_file(const Ends& ends) {
    if (!movable_) return false;
    const char* name = ends.name.c_str();
    if (auto cleaned = clean_object(ends.source, name, ends.now); !cleaned) {
        // File capabilities that we may not remove: a copy goes without.
        if (cleaned.error().os_errno() == EPERM) return false;
        return fail(std::move(cleaned).error());
    }
    auto moved = sys::rename_at(ends.source, name, ends.host, name);
    if (moved) return true;
    // A read-only directory of the source gives nothing away.
    if (moved.error().os_errno() == EACCES) return false;
    if (moved.error().os_errno() != EXDEV) return fail(std::move(moved).error());
    movable_ = false;
    return false;
}

Result<> ApplyWriter::put_file(const ApplyStep& step, Ends& ends, Undo& undo) {
    SUB_TRY_ASSIGN(const bool moved, move_file(ends));
    if (!moved) {
        SUB_TRY_ASSIGN(
            const std::string temporary,
            temporaries_.name(ends.host, parent_part(step.path), ends.name, Temporaries::Use::disposable));
        const char* made = temporary.c_str();
        const auto link = ends.now.stx_nlink > 1 ? links_.find(ends.now.stx_ino) : links_.end();
        if (link != links_.end()) {
            DirCursor other(request_.project);
            SUB_TRY_ASSIGN(const int dir, other.at(parent_part(link->second)));
            SUB_TRY(sys::link_at(dir, std::string(name_part(link->second)).c_str(), ends.host, made));
        } else {
            SUB_TRY(copy_object(ends.source, ends.name.c_str(), ends.now, ends.host, made, rules_));
            if (ends.now.stx_nlink > 1) links_.emplace(ends.now.stx_ino, step.path);
        }
        if (auto placed = sys::rename_at(ends.host, made, ends.host, ends.name.c_str()); !placed) {
            (void)sys::unlink_at(ends.host, made);
            return placed;
        }
    }
    undo.wrote = true;
    undo.moved = moved;
    undo.host_lost = true;
    return {};
}

Result<> ApplyWriter::put_directory(const ApplyStep& step, Ends& ends, Undo& undo) {
    const bool file_in_the_way = step.host_exists && step.host_type != FileType::directory;
    if (!file_in_the_way) {
        SUB_TRY(bring_directory(step, ends, ends.name.c_str(), undo));
        undo.wrote = true;
        return {};
    }
    SUB_TRY_ASSIGN(const std::string temporary, temporaries_.name(ends.host, parent_part(step.path),
                                                                  ends.name, Temporaries::Use::directory));
    const char* made = temporary.c_str();
    const char* name = ends.name.c_str();
    SUB_TRY(bring_directory(step, ends, made, undo));
    auto swapped = sys::rename_at(ends.host, made, ends.host, name, RENAME_EXCHANGE);
    if (swapped) {
        undo.wrote = true;
        undo.host_lost = true;
        return sys::unlink_at(ends.host, made);
    }
    // Give the source its directory back, since nothing at `path` says where it is.
    if (undo.moved) {
        SUB_TRY(sys::rename_at(ends.host, made, ends.source, name));
        undo.moved = false;
    } else {
        SUB_TRY(sys::remove_tree_at(ends.host, temporary));
    }
    return swapped;
}

Result<> ApplyWriter::bring_directory(const ApplyStep& step, const Ends& ends, const char* target,
                                      Undo& undo) {
    const char* name = ends.name.c_str();
    const SkipSink skip = [&](std::string_view path, const char* reason) {
        report_.skipped.push_back({step.path + '/' + std::string(path), reason});
    };
    if (movable_) {
        {
            DirCursor contents(ends.source, DirCursor::Unreadable::unlock);
            SUB_TRY_ASSIGN(const int dir, contents.at(ends.name));
            SUB_TRY(clean_tree_contents(dir, skip, rules_.whiteout_files));
        }
        SUB_TRY(clean_object(ends.source, name, ends.now));
        source_.forget();
        SUB_TRY_ASSIGN(const int source, source_.at(parent_part(step.path)));
        struct ::statx cleaned{};
        SUB_TRY(sys::stat_entry(source, name, cleaned));
        auto moved = move_object(source, name, cleaned, ends.host, target);
        undo.moved = moved.has_value();
        if (moved) return {};
        if (moved.error().os_errno() == EXDEV) movable_ = false;
        else if (moved.error().os_errno() != EACCES) return moved;
    }
    SUB_TRY_ASSIGN(const int source, source_.at(parent_part(step.path)));
    return copy_directory(source, name, ends.now, ends.host, target, rules_, skip);
}

Result<> ApplyWriter::set_directory(const ApplyStep& step) {
    Ends ends;
    struct ::statx host{};
    SUB_TRY(find_source(step, ends));
    SUB_TRY(find_host(step, ends, host));
    SUB_TRY(previous_.keep_directory(step.path));
    undo_.push_back({.path = step.path, .what = Undo::What::directory_metadata, .previous = host});
    // Writable for the steps below it; the rest when they are done.
    if ((host.stx_mode & S_IRWXU) != S_IRWXU)
        SUB_TRY(sys::set_mode_at(ends.host, ends.name.c_str(), (host.stx_mode & 07777u) | S_IRWXU));
    late_.push_back({step.path, ends.now});
    return {};
}

Result<> ApplyWriter::remove(const ApplyStep& step) {
    Ends ends;
    struct ::statx host{};
    SUB_TRY(find_host(step, ends, host));
    undo_.push_back({.path = step.path});
    return take_away(step, ends, host, undo_.back());
}

Result<> ApplyWriter::finish() {
    for (; !late_.empty(); late_.pop_back()) {
        const auto& [path, st] = late_.back();
        SUB_TRY_ASSIGN(const int dir, host_.at(parent_part(path)));
        SUB_TRY_DURING(set_metadata(dir, std::string(name_part(path)).c_str(), st, rules_),
                       "applying '" + path + "'");
    }
    report_.previous_incomplete = !previous_.complete();
    SUB_TRY(previous_.finish());
    return temporaries_.forget();
}

void ApplyWriter::roll_back() {
    for (; !undo_.empty(); undo_.pop_back()) {
        const Undo& undo = undo_.back();
        if (auto restored = take_back(undo); !restored)
            report_.unrestored.push_back({undo.path, restored.error().message()});
    }
    report_.previous_incomplete = !report_.unrestored.empty() && !previous_.complete();
    previous_.abandon();
}

Result<> ApplyWriter::take_back(const Undo& undo) {
    host_.forget();
    source_.forget();
    if (undo.what == Undo::What::object) return take_back_object(undo);
    const std::string name(name_part(undo.path));
    SUB_TRY_ASSIGN(const int host, host_.at(parent_part(undo.path)));
    if (undo.what == Undo::What::directory_metadata)
        return set_metadata(host, name.c_str(), undo.previous, {.keep_owner = request_.keep_owner});
    if (undo.wrote) SUB_TRY(sys::remove_dir_at(host, name.c_str()));
    if (undo.kept != Kept::whiteout) return {};
    SUB_TRY_ASSIGN(const int layer, previous_.directory(parent_part(undo.path)));
    return sys::unlink_at(layer, name.c_str());
}

Result<> ApplyWriter::take_back_object(const Undo& undo) {
    const std::string name(name_part(undo.path));
    SUB_TRY_ASSIGN(const int host, host_.at(parent_part(undo.path)));
    if (undo.wrote && undo.moved) {
        struct ::statx st{};
        SUB_TRY(sys::stat_entry(host, name.c_str(), st));
        SUB_TRY_ASSIGN(const int source, source_.at(parent_part(undo.path)));
        SUB_TRY(move_object(host, name.c_str(), st, source, name.c_str()));
    } else if (undo.wrote) {
        SUB_TRY(sys::remove_tree_at(host, name));
    }
    if (undo.kept == Kept::nothing) return {};
    SUB_TRY_ASSIGN(const int layer, previous_.directory(parent_part(undo.path)));
    if (undo.kept == Kept::whiteout) return sys::unlink_at(layer, name.c_str());
    if (!undo.host_lost) return sys::remove_tree_at(layer, name);
    struct ::statx kept{};
    SUB_TRY(sys::stat_entry(layer, name.c_str(), kept));
    return move_or_copy(layer, name.c_str(), kept, host, name.c_str(),
                        {.keep_owner = request_.keep_owner, .keep_sockets = true});
}

}  // namespace substrate::capture
