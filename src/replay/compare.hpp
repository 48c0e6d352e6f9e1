#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/span.hpp"

namespace substrate::replay {

struct Difference {
    std::string what;  // "exit code", "standard output", "file changes", …
    std::string recorded;
    std::string replayed;
    bool operator==(const Difference&) const = default;
};

// How two runs of one command differ. Times, owners and process ids do not count.
struct Comparison {
    std::vector<Difference> results;  // exit, signal, output, totals of the file changes
    std::vector<Difference> entries;  // changed paths, sorted: the first `max_entries` that differ
    std::size_t differing_entries = 0;
    bool entries_complete = true;  // false when a list was truncated: more may differ

    bool same() const { return results.empty() && differing_entries == 0; }
    // One printable line each; one line saying so when nothing differs.
    std::vector<std::string> lines() const;
};

// Output counts only where both runs observed it, and not where one had both
// streams in one pipe and the other had not.
Comparison compare(const Span& recorded, const Span& replayed, std::size_t max_entries = 10);

// The surroundings of a replay, for drift(). An empty member was not determined.
struct CurrentState {
    std::string policy_id;
    std::string policy_hash;
    std::string world_image_version;
    std::string tool_path;
    std::string tool_hash;
    std::string hostname;
    std::vector<std::string> changed_paths;  // below the project, since the recording
};

// What has changed since the recording and may explain a difference, one
// printable line each. What was not recorded or not determined is not compared.
std::vector<std::string> drift(const Span& recorded, const CurrentState& now);

}  // namespace substrate::replay
