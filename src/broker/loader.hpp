#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/file_memory.hpp"
#include "broker/places.hpp"
#include "broker/policy_file.hpp"
#include "broker/policy_reader.hpp"
#include "broker/policy_set.hpp"
#include "broker/trust.hpp"

namespace substrate::broker {

// A .substrate-policy.yaml as it was understood.
struct ProjectPolicy {
    std::string text;
    Layer layer;
};

// What was read of all the files that policies are made of, across loads: the last good
// content of each stays here while a newer one is broken.
struct PolicyFiles {
    explicit PolicyFiles(Places where) : places(std::move(where)) {}
    Places places;
    FileMemory<Layer> policies;
    FileMemory<std::string> profiles;
    FileMemory<ProjectPolicy> project_policies;
    FileMemory<TrustRecords> trust;
};

// Which directory's files decide, and how far they are believed.
struct Choice {
    std::string directory;                // that has them; empty: none has
    GroundTexts texts;                    // what they say
    bool trusted = false;                 // exactly this was accepted
    std::optional<TrustRecord> accepted;  // what a person accepted, there or nearest above
    std::string profile = "default";      // id of the chosen policy
};

struct LoadProblem {
    std::string file;
    std::string message;  // with line and JSON pointer where there are some; safe to print
    std::string advice;   // may be empty
};

struct Loaded {
    // Null when a policy has never been good. With problems too: then parts of it are older
    // than what the files say.
    std::shared_ptr<const PolicySet> set;
    Choice choice;
    std::vector<LoadProblem> problems;
    std::vector<std::string> notices;  // one line each: what may not be as a person thinks
    std::vector<std::string> unknown;  // ids that were named and that no policy has
    // Every file that was looked for, as it was: a difference means to load again.
    std::vector<std::pair<std::string, std::optional<FileStamp>>> stamps;
    bool unsettled = false;  // load again though none differs: a file was being changed
};

// Reads, checks and compiles what governs `cwd`: the files of the nearest directory above it
// that has some, the policy they name, and what holds under and over them:
//   - the machine's managed policy, always;
//   - what a person has trusted for that directory or the nearest one above it that has a
//     trust record, else the account's default;
//   - where the nearest files are not trusted, what they choose besides: they only tighten;
//   - the policy of the id `profile`, unless that is empty: it only tightens, too.
// `project` is what $PROJECT means in patterns; now_ns is monotonic.
Loaded load_policies(PolicyFiles& files, const std::string& cwd, const std::string& project,
                     std::int64_t now_ns, const std::string& profile = {});
// The same by somebody who loads once.
Loaded load_policies(const Places& places, const std::string& cwd, const std::string& project);

}  // namespace substrate::broker
