#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace substrate::broker {

inline constexpr std::size_t kMaxPolicyBytes = 8u << 20;

// What tells whether a file is still the one that was read.
struct FileStamp {
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t mtime_ns = 0, ctime_ns = 0;
    bool operator==(const FileStamp&) const = default;
};

// The stamp of what `path` leads to now; nullopt where there is nothing. A link that leads
// nowhere and a place that cannot be looked at have stamps too: read_policy_file says why.
std::optional<FileStamp> stamp_of(const std::string& path);

struct FileText {
    std::string text;
    FileStamp stamp;
};

// Who may have written a file that is to be believed.
enum class Ground : std::uint8_t {
    own,      // this account or root, and nobody else can write it
    system,   // root
    project,  // anybody: what it says is not trusted anyway
};

// Reads a whole configuration file; nullopt when there is none. A directory, a FIFO or a
// device, a file that others can write or own (see Ground), and one over
// kMaxPolicyBytes are Errc::safety or Errc::invalid. While some process has the file
// open for writing (fcntl(2), F_SETLEASE) or it changes under the reading, it is tried
// again for a while, then Errc::conflict: half a policy is never returned.
Result<std::optional<FileText>> read_policy_file(const std::string& path, Ground ground, std::uint32_t uid);

}  // namespace substrate::broker
