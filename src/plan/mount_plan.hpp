#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/paths.hpp"
#include "base/result.hpp"

namespace substrate::plan {

// One host tree at the target. Always nosuid; nodev unless it is a device node.
struct Bind {
    HostPath source;
    bool read_only = true;
    bool optional = false;  // skipped when the source does not exist
    bool device = false;    // the source is a device node
    bool operator==(const Bind&) const = default;
};
// A fresh tmpfs.
struct Tmpfs {
    std::uint32_t mode = 0755;
    std::uint64_t size_bytes = 0;  // 0: the kernel's default, half of the memory
    std::uint64_t files = 0;       // at most so many; 0: the kernel's default
    bool read_only = false;        // sealed once everything inside it has been made
    bool operator==(const Tmpfs&) const = default;
};
// A new procfs of the world's pid namespace.
struct Proc {
    bool operator==(const Proc&) const = default;
};
// A devpts instance of the world's own.
struct Devpts {
    bool operator==(const Devpts&) const = default;
};
// Makes the target, which the host may or may not have, empty: a directory by
// a read-only tmpfs, a file by /dev/null. Acts after every other operation, when the
// links on the way to it lead where they will lead for a command.
struct Mask {
    bool operator==(const Mask&) const = default;
};
// The target, which is already mounted, bound onto itself read-only.
struct ReadOnly {
    bool operator==(const ReadOnly&) const = default;
};
struct Symlink {
    std::string to;
    bool operator==(const Symlink&) const = default;
};
struct Directory {
    std::uint32_t mode = 0755;
    bool operator==(const Directory&) const = default;
};

// A read-only file of this content in the place of the target, which the host has; of a link, in the
// place that it leads to, made where it is missing. Acts after every other operation but masks.
struct Text {
    std::string content;
    bool operator==(const Text&) const = default;
};

// The Unix socket that the host has at this path, so that commands can connect to it; skipped where there is
// none now.
struct HostSocket {
    bool operator==(const HostSocket&) const = default;
};

using MountAction =
    std::variant<Bind, Tmpfs, Proc, Devpts, Mask, ReadOnly, Symlink, Directory, Text, HostSocket>;

struct MountOp {
    WorldPath target;
    MountAction action;
    bool operator==(const MountOp&) const = default;
};

// Orders parents before children and folds equal entries into one. Errors:
// a target that is not absolute, has an empty, "." or ".." component or a NUL;
// two different operations on one target.
Result<std::vector<MountOp>> normalize(std::vector<MountOp> ops);

// One line for each operation, stable across versions of the same plan: the
// form of --explain and of the golden tests.
std::string to_text(const MountOp& op);

}  // namespace substrate::plan
