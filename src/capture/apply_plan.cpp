#include "capture/apply_plan.hpp"

#include <algorithm>
#include <optional>
#include <unordered_set>
#include <utility>

#include "capture/dir_cursor.hpp"
#include "capture/layer_walk.hpp"
#include "capture/transfer.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

// Size and mtime: what a rename leaves as it was.
using Content = std::pair<std::uint64_t, std::int64_t>;
Content content_of(const struct ::statx& st) { return {st.stx_size, sys::to_ns(st.stx_mtime)}; }

// A copied-up file at a path where the host has nothing.
struct Orphan {
    std::string path;
    std::optional<std::uint64_t> inode;
    Content content;
};

// Entries of a directory move its mtime and ctime together; only a change of
// its own metadata moves the ctime alone.
bool changed_since(const struct ::statx& st, std::int64_t since_ns) {
    if (sys::to_ns(st.stx_ctime) < since_ns) return false;
    if (!is_directory(st) || sys::to_ns(st.stx_btime) >= since_ns) return true;
    return sys::to_ns(st.stx_mtime) != sys::to_ns(st.stx_ctime);
}

// Like a byte comparison with '/' before every other byte, so that a directory
// is followed by what is below it.
bool tree_order(const ApplyStep& a, const ApplyStep& b) {
    return std::ranges::lexicographical_compare(a.path, b.path, [](char x, char y) {
        const auto rank = [](char c) {
            return c == '/' ? -1 : static_cast<int>(static_cast<unsigned char>(c));
        };
        return rank(x) < rank(y);
    });
}

class Planner {
  public:
    explicit Planner(const ApplyRequest& request)
        : request_(request), only_(request.only), host_(request.project) {
        const auto* layers = std::get_if<OverlayLayers>(&request.source);
        if (layers != nullptr) xattrs_ = layers->xattrs;
        layered_ = layers != nullptr;
    }

    Result<> take(const Change& change) {
        SUB_TRY(note_source(change));
        if (!selected(change.path)) return {};
        ++plan_.changes;
        if (!permitted(change)) {
            conflict(change.path, kNotPermitted);
            return {};
        }
        // The step of the directory above covers it; the host's own content of a
        // removed directory is still looked at.
        const bool covered = change.nested && selected(parent_part(change.path));
        if (covered && change.kind != ChangeKind::remove) return {};
        struct ::statx host{};
        SUB_TRY_ASSIGN(const Place place, find_host(change, host));
        if (place == Place::blocked) return {};
        const bool exists = place == Place::present;
        if (change.kind == ChangeKind::remove) {
            if (!exists) {
                --plan_.changes;
                return {};
            }
            if (changed_by_others(change.path, host)) conflict(change.path, "was changed on the host");
            else if (!covered) add(change, ApplyStep::Action::remove, &host);
            return {};
        }
        return take_present(change, exists ? &host : nullptr);
    }

    Result<ApplyPlan> finish() {
        judge_orphans();
        std::ranges::sort(plan_.steps, tree_order);
        return std::move(plan_);
    }

  private:
    enum class Place { present, absent, blocked };

    bool selected(std::string_view path) const { return only_.empty() || only_.covers(path); }

    bool permitted(const Change& change) const {
        if (!request_.permits) return true;
        const bool directory = change.type == FileType::directory;
        return request_.permits(change.path, directory) &&
               (change.renamed_from.empty() || request_.permits(change.renamed_from, directory));
    }

    void conflict(std::string_view path, const char* reason) {
        ++plan_.conflict_count;
        if (plan_.conflicts.size() < kMaxListedConflicts)
            plan_.conflicts.push_back({std::string(path), reason});
    }

    void add(const Change& change, ApplyStep::Action action, const struct ::statx* host) {
        ApplyStep step{.path = std::string(change.path), .action = action, .type = change.type};
        if (host != nullptr) {
            step.host_exists = true;
            step.host_type = type_of(*host);
            step.host_inode = host->stx_ino;
            step.host_mtime_ns = sys::to_ns(host->stx_mtime);
        }
        plan_.steps.push_back(std::move(step));
    }

    Result<Place> find_host(const Change& change, struct ::statx& host) {
        auto dir = host_.at(parent_part(change.path));
        if (!dir) {
            const int error = dir.error().os_errno();
            if (error == ENOENT) {
                // A removal has nothing to do; a new directory's content comes with it or makes it.
                if (change.kind == ChangeKind::remove || change.nested) return Place::absent;
                conflict(change.path, "the directory that holds it is missing on the host");
                return Place::blocked;
            }
            if (error != ENOTDIR && error != ELOOP) return fail(std::move(dir).error());
            if (change.kind == ChangeKind::remove && change.nested) return Place::absent;
            conflict(change.path, "a directory above it is a link or no directory on the host");
            return Place::blocked;
        }
        SUB_TRY_ASSIGN(const bool exists,
                       sys::stat_entry(*dir, change.name[0] != '\0' ? change.name : name_of(change), host));
        return exists ? Place::present : Place::absent;
    }

    bool changed_by_others(std::string_view path, const struct ::statx& host) const {
        return changed_since(host, request_.unchanged_since_ns) && !request_.ours.contains(path);
    }

    const char* name_of(const Change& change) {
        name_ = name_part(change.path);
        return name_.c_str();
    }

    Result<> take_present(const Change& change, const struct ::statx* host) {
        if (change.kind == ChangeKind::create) {
            if (host != nullptr) {
                conflict(change.path, "exists on the host");
                return {};
            }
            SUB_TRY(note_orphan(change));
        } else if (host == nullptr) {
            conflict(change.path, "was removed on the host");
            return {};
        } else if (type_of(*host) != type_of(*change.before)) {
            conflict(change.path, "is of another type on the host");
            return {};
        } else if (changed_by_others(change.path, *host)) {
            conflict(change.path, "was changed on the host");
            return {};
        }
        if (const char* reason = refusal_of(change.type, request_.movable)) {
            plan_.skipped.push_back({std::string(change.path), reason});
            return {};
        }
        const bool metadata_only = change.kind == ChangeKind::modify && change.type == FileType::directory;
        add(change, metadata_only ? ApplyStep::Action::set_directory : ApplyStep::Action::put, host);
        return {};
    }

    // What a copied-up file may have been renamed from: files that were removed,
    // or replaced by something that is no copy of them.
    Result<> note_source(const Change& change) {
        if (!layered_ || change.before == nullptr || type_of(*change.before) != FileType::regular) return {};
        lower_inodes_.insert(change.before->stx_ino);
        if (change.kind != ChangeKind::modify) {
            rename_sources_.push_back(content_of(*change.before));
            return {};
        }
        SUB_TRY_ASSIGN(const Origin origin, read_origin(change.after_dir, change.name, xattrs_));
        if (!origin.copied_up) rename_sources_.push_back(content_of(*change.before));
        return {};
    }

    // New to the lowers, but copied up from them: it was renamed, or the host has
    // removed it meanwhile. Directories are never renamed (they would be redirected).
    Result<> note_orphan(const Change& change) {
        if (!layered_ || change.nested) return {};
        if (change.type != FileType::regular && change.type != FileType::directory) return {};
        SUB_TRY_ASSIGN(const Origin origin, read_origin(change.after_dir, change.name, xattrs_));
        if (!origin.copied_up) return {};
        if (change.type == FileType::directory) conflict(change.path, "was removed on the host");
        // A link to a copied-up file carries the mark of that file.
        else if (change.after->stx_nlink == 1)
            orphans_.push_back({std::string(change.path), origin.inode, content_of(*change.after)});
        return {};
    }

    // With inodes the answer is exact. Without, a file that was renamed as it is
    // finds its source; of those written to afterwards there may be no more than
    // there are sources left.
    void judge_orphans() {
        if (orphans_.empty()) return;
        std::ranges::sort(rename_sources_);
        std::uint64_t sources = rename_sources_.size();
        std::erase_if(orphans_, [&](const Orphan& orphan) {
            if (orphan.inode) return lower_inodes_.contains(*orphan.inode);
            const bool found = std::ranges::binary_search(rename_sources_, orphan.content);
            if (found && sources > 0) --sources;
            return found;
        });
        const auto unnamed = static_cast<std::uint64_t>(
            std::ranges::count_if(orphans_, [](const Orphan& orphan) { return !orphan.inode; }));
        for (const Orphan& orphan : orphans_)
            if (orphan.inode || unnamed > sources) conflict(orphan.path, "was removed on the host");
    }

    const ApplyRequest& request_;
    PathSet only_;
    DirCursor host_;
    XattrNamespace xattrs_ = XattrNamespace::user;
    bool layered_ = false;
    ApplyPlan plan_;
    std::vector<Orphan> orphans_;
    std::unordered_set<std::uint64_t> lower_inodes_;
    std::vector<Content> rename_sources_;
    std::string name_;
};

}  // namespace

int source_dir(const ApplyRequest& request) {
    const auto* layers = std::get_if<OverlayLayers>(&request.source);
    return layers != nullptr ? layers->upper : std::get<CopyTrees>(request.source).work;
}

Result<ApplyPlan> plan_apply(const ApplyRequest& request) {
    Planner planner(request);
    const ChangeSink sink = [&](const Change& change) { return planner.take(change); };
    if (const auto* layers = std::get_if<OverlayLayers>(&request.source)) {
        SUB_TRY(walk_overlay(*layers, sink));
    } else {
        SUB_TRY(walk_copy(std::get<CopyTrees>(request.source), sink));
    }
    return planner.finish();
}

}  // namespace substrate::capture
