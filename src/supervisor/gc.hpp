#pragma once

#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"

namespace substrate::supervisor {

struct GcReport {
    struct Note {
        std::string name;
        std::string reason;
    };
    std::vector<std::string> removed;
    std::vector<Note> kept;
    std::vector<Note> errors;
};

struct GcLimits {
    std::size_t kept_spans = 200;  // a project's applied spans whose previous content stays
    std::int64_t kept_ns = std::int64_t{7} * 24 * 3600 * 1'000'000'000;  // and for how long
};

// Removes what dead worlds have left in the stores below `roots`, after completing
// applies that a crash interrupted and keeping captures that nobody has decided
// about. Safe beside live worlds: each holds a lock on its directory. Previous
// content of applied spans goes by age and number.
GcReport collect_garbage(const Env& env, const std::vector<std::string>& roots, bool dry_run,
                         const GcLimits& limits = {});

}  // namespace substrate::supervisor
