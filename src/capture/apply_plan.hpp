#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/apply.hpp"

// The checked half of an apply: what to do, in order, and what speaks against it.
namespace substrate::capture {

struct ApplyStep {
    enum class Action : std::uint8_t { put, set_directory, remove };
    std::string path;
    Action action = Action::put;
    FileType type = FileType::regular;
    // What the host has now; checked again before it is replaced.
    bool host_exists = false;
    FileType host_type = FileType::regular;
    std::uint64_t host_inode = 0;
    std::int64_t host_mtime_ns = 0;
};

struct ApplyPlan {
    // A directory's step comes before those below it. What is below a directory that is new or
    // removed as a whole has no step of its own.
    std::vector<ApplyStep> steps;
    std::vector<PathNote> skipped;
    std::vector<PathNote> conflicts;
    std::uint64_t conflict_count = 0;
    std::uint64_t changes = 0;
};

Result<ApplyPlan> plan_apply(const ApplyRequest& request);

// The directory that holds the source's objects.
int source_dir(const ApplyRequest& request);

}  // namespace substrate::capture
