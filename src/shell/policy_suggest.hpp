#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"

namespace substrate::shell {

struct Suggestion {
    std::string yaml;         // a policy with comments; ends with a newline
    std::size_t covered = 0;  // spans that it allows, perhaps isolated
    // The others, one line each with the reason; safe to print.
    std::vector<std::string> left_out;
};

struct SuggestionGround {
    std::string id;       // of the policy
    std::string session;  // where the spans come from, for a comment
    std::string home;     // the account's
};

// The least policy that the spans needed: an allowlist of their commands, what they wrote,
// and nothing else. It is compiled and asked about each span before it is returned.
// Errc::not_found when it would cover none.
Result<Suggestion> suggest_policy(const std::vector<Span>& spans, const SuggestionGround& ground);

// A YAML scalar that reads as exactly `text`; a byte that is not UTF-8 becomes `?`.
std::string yaml_scalar(std::string_view text);

}  // namespace substrate::shell
