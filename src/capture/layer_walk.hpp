#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "capture/change.hpp"
#include "capture/dir_cursor.hpp"

// The walk that overlay_walk, copy_walk and snapshot share.
namespace substrate::capture {

// Sorted relative paths that a walk leaves out with all that is below them.
class PathSet {
  public:
    PathSet() = default;
    explicit PathSet(std::vector<std::string> paths);
    bool empty() const { return paths_.empty(); }
    bool contains(std::string_view path) const;
    // `path` or a directory above it is in the set.
    bool covers(std::string_view path) const;

  private:
    std::vector<std::string> paths_;
};

struct LayerWalkInput {
    int upper = -1;               // what there is now
    std::span<const int> lowers;  // what there was, the top one first; at most 64
    XattrNamespace xattrs = XattrNamespace::user;
    // Whiteouts and opaque markers count, and what the upper lacks is unchanged.
    // Otherwise what the upper lacks is removed.
    bool layered = true;
    bool whiteout_files = false;  // kWhiteoutPrefix and kOpaqueFile mean something in the upper
    bool unlock_upper = true;     // the upper is ours: unreadable directories are made readable meanwhile
    bool compare_owner = true;
    // What is in the upper with an earlier ctime counts as untouched (0: nothing does), but
    // for what lies in a directory that was touched and is new.
    std::int64_t untouched_before_ns = 0;
    const PathSet* excluded = nullptr;
    // Called for each upper directory that may not be read and is passed over
    // (only without unlock_upper).
    std::function<void(std::string_view path)> unreadable;
};

// Walks `upper` against `lowers` and reports every difference. Holds one open
// path per layer and the names of the directories still to visit, no more.
class LayerWalk {
  public:
    LayerWalk(const LayerWalkInput& input, const ChangeSink& sink);
    Result<> run();

  private:
    using Mask = std::uint64_t;  // which lowers have the directory
    enum Flag : std::uint8_t { kUpper = 1, kOpaque = 2, kXattrWhiteouts = 4, kReported = 8 };
    struct Pending {
        std::uint32_t parent_length;
        std::uint32_t name_length;
        Mask lowers;
        std::uint8_t flags;
    };
    // What the lowers have under one name.
    struct Found {
        bool any = false;
        int dir = -1;     // the lower directory that holds it
        Mask lowers = 0;  // for a directory: the layers that make it up
    };

    Result<> visit(const Pending& directory);
    Result<> open_lowers(Mask lowers);
    Result<> read_upper(std::uint8_t flags);
    Result<> visit_upper_entry(const char* name, std::uint8_t flags);
    Result<> visit_whiteout_file(const char* hidden);
    Result<> report_whiteout(const char* name, const Found& lower);
    Result<bool> in_upper(const char* name);
    Result<> report_upper(const char* name, const Found& lower, std::uint8_t flags);
    Result<> read_lowers(std::uint8_t flags);
    Result<> visit_lower_entry(std::size_t layer, const char* name, std::uint8_t flags);
    Result<bool> nothing_missing();
    Result<Found> look_up(const char* name, struct ::statx& st);
    Result<bool> differs(const char* name, const Found& lower);
    Result<bool> differs_within_a_tick(const char* name, const Found& lower);
    Result<bool> is_marked_whiteout(int dir, const char* name, const struct ::statx& st) const;
    Result<std::uint8_t> read_markers(int dir) const;
    Result<> emit(Change& change);
    void enter(std::string_view name, Mask lowers, std::uint8_t flags);
    void name_path(std::string_view name);

    LayerWalkInput input_;
    const ChangeSink& sink_;
    DirCursor upper_;
    std::vector<DirCursor> lowers_;

    std::string path_;             // of the entry at hand
    std::size_t base_length_ = 0;  // of the directory at hand in path_
    std::vector<Pending> pending_;
    std::string pending_names_;
    int upper_fd_ = -1;
    std::vector<int> lower_fds_;  // -1: the layer does not take part in this directory
    Mask here_ = 0;
    Mask marked_lowers_ = 0;     // layers whose directory at hand holds whiteouts by attribute
    std::uint64_t matched_ = 0;  // names of the upper that a lower has too
    struct ::statx after_{};
    struct ::statx before_{};
    std::string link_after_;
    std::string link_before_;
    std::string whiteout_attribute_;
    std::string opaque_attribute_;
    std::string redirect_attribute_;
};

}  // namespace substrate::capture
