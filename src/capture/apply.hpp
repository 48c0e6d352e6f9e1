#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "capture/copy_walk.hpp"
#include "capture/overlay_walk.hpp"

// Bringing a captured change to the host.
namespace substrate::capture {

using Permits = std::function<bool(std::string_view path, bool directory)>;

struct ApplyRequest {
    int project = -1;  // the host's directory, to be changed
    // Where the change is. The last lower (or the base) is the project.
    std::variant<OverlayLayers, CopyTrees> source;
    // Nothing lives on the source any more: its files may be renamed away.
    bool movable = false;
    // sys::stamp_now() when the capture was made. A host object that is part of
    // the change and whose ctime is not earlier is a conflict.
    std::int64_t unchanged_since_ns = 0;
    // An empty directory that becomes an overlay layer: mounted as
    // lowerdir=before:project it shows the project as it was. On the project's
    // file system nothing is copied into it but files with several links.
    int before_dir = -1;
    // How the names begin of what lies beside its target for a moment, and where they
    // are written down for settle_temporaries after a crash (-1: nowhere).
    std::string temporary_prefix = ".substrate-apply.";
    int journal_dir = -1;
    // Whether a path, relative to the project, may be changed; one that may not is a conflict. Null: all may.
    Permits permits;
    std::vector<std::string> only;  // these paths and what is below them; empty: everything
    bool keep_owner = false;        // needs CAP_CHOWN
    // Paths that we have written ourselves since: their newer ctime is no conflict.
    std::set<std::string, std::less<>> ours;
};

struct PathNote {
    std::string path;
    std::string reason;
};

// The reason of a conflict with ApplyRequest::permits.
inline constexpr const char* kNotPermitted = "may not be changed, by the patterns of the policy";

enum class ApplyOutcome : std::uint8_t {
    applied,         // everything but what `skipped` names
    conflicts,       // nothing was written
    rolled_back,     // `failure` says why; the host is as it was
    partly_applied,  // `failure` says why; `unrestored` what could not be put back
};

inline constexpr std::size_t kMaxListedConflicts = 100;

struct ApplyReport {
    ApplyOutcome outcome = ApplyOutcome::applied;
    std::uint64_t applied = 0;        // changes brought to the host
    std::vector<PathNote> skipped;    // device nodes; sockets that would have to be copied
    std::vector<PathNote> conflicts;  // the first kMaxListedConflicts
    std::uint64_t conflict_count = 0;
    std::string failure;
    std::vector<PathNote> unrestored;  // their previous content is in before_dir
    // before_dir lacks that something was absent before: its file system takes no
    // whiteouts (an overlay does not). The apply itself needs none.
    bool previous_incomplete = false;
};

// First checks every change and writes nothing when one conflicts. Then writes:
// each file by rename, the previous content kept first, so that a crash leaves
// the old or the new file at each path and before_dir can restore the rest
// (replacing a directory by something else takes two renames). An error while
// writing rolls back.
//
// Opens every directory beneath the project without following links; creates
// no device node; drops set-user-ID, set-group-ID of non-directories, file
// capabilities and overlayfs's attributes. An error of the result itself means that
// nothing was written.
//
// What a rolled back move returned to the source has lost those attributes.
Result<ApplyReport> apply_changes(const ApplyRequest& request);

}  // namespace substrate::capture
