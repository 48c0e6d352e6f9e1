#pragma once

#include "model/fs_access.hpp"
#include "model/policy.hpp"
#include "policy/pattern.hpp"

namespace substrate::policy {

// What one policy's `fs` and `world_fs` ask of a world, with $PROJECT and $HOME expanded. An entry
// is a path and stands for all below it; one without a slash at its beginning is
// relative to the project; `/**` at its end says nothing more. An entry may be a pattern of
// base/path_pattern.hpp: `*.pem` lies in the project itself, `**/*.pem` anywhere in it. One that opens for
// writing must lie in the project, one that opens for reading must begin with a directory beside it. Pure.
FsAccess fs_access_of(const Policy& policy, const PatternValues& values);

// The Unix sockets of the host that `net.unix` names, as absolute paths, sorted: one name each, no patterns.
// What names none becomes a sentence in `problems`.
std::vector<std::string> named_sockets(const std::vector<std::string>& entries, const PatternValues& values,
                                       std::vector<std::string>& problems);

// What both permit.
FsAccess both(FsAccess one, const FsAccess& other, std::string_view project);

}  // namespace substrate::policy
