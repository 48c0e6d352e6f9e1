#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "policy/command_line.hpp"

// Patterns for an allowlist, made from commands that were seen.
namespace substrate::shell {

struct AllowPatterns {
    std::vector<std::string> patterns;  // in the order of the commands that need them
    std::vector<std::size_t> without;   // indices of commands that no pattern can name
};

// Patterns that match all of `commands` and little else: the words as they were, or, for three
// or more commands that differ only in the values of words, one with a glob in their places.
// A word whose value is not known is `*`. The program is always named. Verbs ("git commit")
// are kept apart, and so is what programs get that run code or other commands.
AllowPatterns allow_patterns(const std::vector<policy::SimpleCommand>& commands);

// True when an allowlist of this one pattern has the command.
bool pattern_allows(const std::string& pattern, const policy::SimpleCommand& command);

// A word of a pattern that means exactly these bytes; a byte that is not UTF-8 is `?`.
std::string pattern_word(std::string_view text);

}  // namespace substrate::shell
