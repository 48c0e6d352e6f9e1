#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/change.hpp"

// The copy-diff strategy: commands run in a copy of the project, which is then
// compared with the project.
namespace substrate::capture {

struct CopyReport {
    std::uint64_t objects = 0;
    // Sockets, device nodes and what may not be read: not in the copy. To be
    // excluded from the comparison, else they would seem removed.
    std::vector<std::string> skipped;
};

// Fills the empty directory `work` with a copy of `base`: by FICLONE where the
// file system can, holes and hard links inside the tree kept, mode, mtime and
// user.* attributes kept, owners kept when `keep_owner`. `excluded` paths
// (relative) are left out with what is below them.
Result<CopyReport> make_copy(int base, int work, const std::vector<std::string>& excluded, bool keep_owner);

struct CopyTrees {
    int work = -1;
    int base = -1;                      // -1: it has gone, and all that was touched in the copy is new
    std::vector<std::string> excluded;  // of make_copy, and CopyReport::skipped
    bool compare_owner = false;         // true when make_copy kept owners
    // sys::stamp_now() once the copy was complete. What differs but was not touched
    // in the copy since then was changed in the base by somebody else and is not
    // reported. 0 reports every difference.
    std::int64_t copied_at_ns = 0;
};

// Reports every difference of the work copy from its base: size, mtime, mode,
// owner, link target; of directories mode and owner.
Result<> walk_copy(const CopyTrees& trees, const ChangeSink& sink);

}  // namespace substrate::capture
