#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "capture/change.hpp"
#include "model/fs_diff.hpp"

namespace substrate::capture {

// Turns a stream of changes into an FsDiff in bounded memory.
//
// The first `max_files` non-directories and `max_dirs` directories by path (bytes) are
// listed. Counts and tree_hash cover everything and do not depend on the order
// of the changes.
//
// tree_hash is the sum modulo 2^128 of XXH3-128 over each change's path, kind,
// type, mode, size and link target. A rename enters it as the removal of the
// old path and the creation of the new one, so neither the limits nor how a
// capture recognises renames shows in it.
//
// Renames in an overlay: a listed new file that was copied up and a listed
// removed file become one entry when they are each other's only match: by
// inode where the origin tells it, else by size, mtime, mode and owner.
class DiffBuilder {
  public:
    struct Limits {
        std::uint64_t max_files = kDefaultMaxFiles;
        std::uint64_t max_dirs = kDefaultMaxDirs;
    };

    DiffBuilder() = default;
    // Limits above kMaxListedEntries are cut to it.
    explicit DiffBuilder(const Limits& limits, XattrNamespace xattrs = XattrNamespace::user);

    Result<> add(const Change& change);
    // The diff of everything added; the builder is empty afterwards.
    FsDiff finish();

  private:
    // How a removed file and the copy of it under a new name find each other.
    struct Match {
        enum class By : std::uint8_t { nothing, inode, metadata };
        By by = By::nothing;
        std::uint64_t inode = 0;
    };
    struct Listed {
        FsEntry entry;
        Match match;
    };
    struct Hash128 {
        std::uint64_t low = 0;
        std::uint64_t high = 0;
    };

    void count(const Change& change);
    void hash(std::string_view path, ChangeKind kind, const struct ::statx& st, std::string_view link_target);
    Result<> list(const Change& change, std::vector<Listed>& heap, std::uint64_t limit);
    static bool earlier(const Listed& a, const Listed& b) { return a.entry.path < b.entry.path; }
    void join_renames();

    Limits limits_;
    XattrNamespace xattrs_ = XattrNamespace::user;
    FsDiff diff_;
    Hash128 sum_;
    std::vector<Listed> files_;  // heaps, the last path on top
    std::vector<Listed> dirs_;
    std::string encoding_;
};

}  // namespace substrate::capture
