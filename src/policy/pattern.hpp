#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "policy/normal_form.hpp"

namespace substrate::policy {

// What $PROJECT and $HOME mean in patterns; empty: not known, a pattern that needs it is an error.
struct PatternValues {
    std::string_view project;
    std::string_view home;
};

inline constexpr std::size_t kMaxPattern = 4096;  // bytes
inline constexpr std::size_t kMaxPatternStages = 8;

// The stages of a pattern over commands: "rm -rf /", "curl * | sh". Words are
// globs (fnmatch(3) without flags: * ? […] and a backslash before what is meant
// literally); quotes hold a word together and make it literal; `|` separates the parts
// of a pipeline. Errc::invalid for an empty pattern, another operator, or one over a limit.
Result<std::vector<NormalPattern>> parse_pattern(std::string_view text, const PatternValues& values = {});

// True when the whole of `text` matches. Linear in the product of the lengths.
bool glob_match(std::string_view glob, std::string_view text);

// True when some text matches both: `word` as a shell's pattern for file names,
// where * and ? do not match a slash. May say true too often, never too rarely.
bool globs_may_meet(std::string_view glob, std::string_view word);

// True when `glob` has no special character; then literal_of is the text it means.
bool is_literal(std::string_view glob);
std::string literal_of(std::string_view glob);

}  // namespace substrate::policy
