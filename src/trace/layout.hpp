#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// The names and the opening of the files of a trace directory.
namespace substrate::trace {

inline constexpr std::string_view kTraceName = "trace.jsonl";
inline constexpr std::string_view kLockName = "trace.lock";
// Space on the disk for the records of commands that fill it.
inline constexpr std::string_view kReserveName = "trace.reserve";
inline constexpr std::string_view kBlobDirectory = "blobs";
// More rotated files than this are not looked for.
inline constexpr unsigned kMostKept = 99;

// "trace.jsonl" for 0, else "trace.jsonl.<number>".
std::string rotated_name(unsigned number);

struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const FileIdentity&) const = default;
};

struct TraceFile {
    std::string name;
    sys::UniqueFd fd;  // for reading
    FileIdentity identity;
};

// The files as they are at one moment, oldest first; a rotation waits meanwhile.
// Files that are missing, or are links or no regular files, are left out.
Result<std::vector<TraceFile>> open_set(int dir);

Result<FileIdentity> identity_of(int fd);

}  // namespace substrate::trace
