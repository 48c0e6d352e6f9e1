#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace substrate {

enum class WorldFsMode : std::uint8_t { writable, read_only };
enum class WorldFsIsolation : std::uint8_t { workspace, full };

// Of what lies below these directories only what a pattern names. A directory on the way to a name may be
// listed; where the rule is for writing, made and removed while empty.
struct FsRule {
    std::vector<std::string> below;
    std::vector<std::string> patterns;  // of base/path_pattern.hpp
    bool operator==(const FsRule&) const = default;
};

// What commands of a world may read and write, with everything expanded: what policies ask for, in
// a planner's words. Paths are the host's, absolute, without "." and "..".
struct FsAccess {
    WorldFsMode mode = WorldFsMode::writable;
    WorldFsIsolation isolation = WorldFsIsolation::workspace;
    bool project_writable = true;         // the whole project; else only what `writable` has of it
    std::vector<std::string> writable;    // beside the world's own /tmp and the like
    std::vector<std::string> readable;    // full isolation: beside the system's own
    std::vector<FsRule> write_rules;      // each narrows what `writable` opens of the project
    std::vector<FsRule> read_rules;       // each narrows what `readable` opens
    std::vector<std::string> hidden;      // shown empty
    std::vector<std::string> denied;      // patterns of base/path_pattern.hpp: refused by name
    std::vector<std::string> sockets;     // Unix sockets of the host that can be connected to
    bool required = false;                // rather no world than one that cannot hold patterns
    std::vector<std::string> unenforced;  // what a policy asks for and worlds do not do, one sentence each
    bool operator==(const FsAccess&) const = default;
};

}  // namespace substrate
