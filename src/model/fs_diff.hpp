#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace substrate {

enum class ChangeKind : std::uint8_t { create, modify, remove, type_change, rename };
enum class FileType : std::uint8_t { regular, directory, symlink, fifo, socket, char_device, block_device };

const char* to_string(ChangeKind kind);  // "create", "modify", "delete", "type_change", "rename"
const char* to_string(FileType type);    // "file", "directory", "symlink", …

// One changed path. For a removal the metadata is what was removed.
struct FsEntry {
    std::string path;  // relative to the project, raw bytes, no leading slash
    ChangeKind kind = ChangeKind::create;
    FileType type = FileType::regular;
    std::uint32_t mode = 0;  // permission bits only
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint64_t size = 0;     // bytes; 0 for directories
    std::int64_t mtime_ns = 0;  // since the epoch
    std::string link_target;    // symlinks only
    std::string renamed_from;   // renames only
    bool operator==(const FsEntry&) const = default;
};

inline constexpr int kFsDiffSchemaVersion = 1;
inline constexpr std::uint64_t kDefaultMaxFiles = 1'000;
inline constexpr std::uint64_t kDefaultMaxDirs = 100;
inline constexpr std::uint64_t kMaxListedEntries = 10'000;

// What one command changed below the project.
struct FsDiff {
    std::vector<FsEntry> entries;  // sorted by path; all of them unless truncated
    bool truncated = false;
    std::uint64_t files = 0;  // all changed non-directories
    std::uint64_t dirs = 0;   // all changed directories
    std::uint64_t created = 0;
    std::uint64_t modified = 0;  // with type changes and renames
    std::uint64_t deleted = 0;
    // Over every entry, listed or not: path, kind, type, mode, size and link
    // target; not times and owners, so that a replay can be compared.
    std::string tree_hash;  // "xxh3:" and 32 hex digits; empty when nothing changed
    std::string summary;    // "N dirs, M files (truncated, see tree_hash)" when truncated

    bool empty() const { return files == 0 && dirs == 0; }
    bool operator==(const FsDiff&) const = default;
};

}  // namespace substrate
