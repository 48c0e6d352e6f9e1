#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capture/change.hpp"

namespace substrate::capture {

// The direct strategy: the metadata of a tree before a command, against which
// the tree is walked again afterwards. Takes about 100 bytes and the name per
// object.
class Snapshot {
  public:
    // `excluded` paths (relative) are left out with what is below them, both times.
    static Result<Snapshot> take(int root, std::vector<std::string> excluded = {});

    // Reports what differs in `root` now. Size, mode, mtime, owner, inode and link
    // target count, and the ctime of what is not a directory; of directories mode and
    // owner. A new path whose inode was at a path that has gone is a rename.
    // Of a removal's `before`, the birth time and block fields are not known.
    Result<> compare(int root, const ChangeSink& sink) const;

    std::size_t size() const { return records_.size() - 1; }
    std::size_t memory() const;

  private:
    friend class SnapshotTaker;
    friend class SnapshotComparison;

    struct Record {
        std::uint64_t inode = 0;
        std::uint64_t size = 0;
        std::int64_t mtime_ns = 0;
        std::int64_t ctime_ns = 0;
        std::int64_t born_ns = 0;       // 0 where the file system does not know
        std::uint64_t name_offset = 0;  // in names_; a symlink's target follows the name
        std::uint32_t parent = 0;       // index of the directory; the root is record 0
        std::uint32_t uid = 0;
        std::uint32_t gid = 0;
        std::uint16_t mode = 0;  // with the type
        std::uint16_t name_length = 0;
        std::uint16_t link_length = 0;
    };
    static constexpr std::uint32_t kNone = 0xffffffff;

    std::string_view name_of(const Record& record) const {
        return std::string_view(names_).substr(record.name_offset, record.name_length);
    }
    std::string_view link_of(const Record& record) const {
        return std::string_view(names_).substr(record.name_offset + record.name_length, record.link_length);
    }
    std::string path_of(std::uint32_t index) const;
    std::uint32_t find(std::uint32_t parent, std::string_view name) const;
    std::uint32_t find_path(std::string_view path) const;
    static std::uint64_t key_of(std::uint32_t parent, std::string_view name);
    void insert(std::uint32_t index);
    void grow();

    std::vector<Record> records_;
    std::string names_;
    // Open addressing by (parent, name); a power of two, at most two thirds full.
    std::vector<std::uint32_t> table_;
    std::vector<std::string> excluded_;
};

}  // namespace substrate::capture
