#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::broker {

// What a person is asked about one command. Nothing in it is safe to print yet.
struct ApprovalQuestion {
    std::string command;             // the whole line
    std::vector<std::string> parts;  // the simple commands found, in order; may be empty
    std::size_t more_parts = 0;      // found, but not in `parts`
    std::string reason;              // why it is asked
    std::string rule, pattern;       // as in Decision; empty where no rule spoke
    std::string policy_id;
    std::string directory;            // what "session" and "always" cover begins here
    std::string scope_pattern;        // see scope_pattern of approvals.hpp; empty: only "once" can be given
    std::vector<std::string> impact;  // what a trial run would change and reach, line by line; may be empty
    std::int64_t timeout_ms = 0;      // from when it is shown; 0: wait
    bool operator==(const ApprovalQuestion&) const = default;

    // Whether "session" and "always" can be answered.
    bool can_be_kept() const;
};

// What travels of lists: the first so many, each cut visibly at so many bytes.
inline constexpr std::size_t kMaxSentParts = 20;
inline constexpr std::size_t kMaxSentImpact = 100;
inline constexpr std::size_t kMaxSentText = 4096;

// From the agent to who asks. The command is whole; lists are cut as above, the
// number of parts that are left out goes to `more_parts`, and a pattern that could not be
// kept is left out. A command of up to a MiB fits in one message.
Json to_json(const ApprovalQuestion& question);
// Errc::invalid, naming the member, for what is missing or of a wrong type.
Result<ApprovalQuestion> approval_question_from_json(const Json& value);

}  // namespace substrate::broker
