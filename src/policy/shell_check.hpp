#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace substrate::policy {

inline constexpr std::string_view kTooSlow = "it takes too long to read";

// True for one line of words, variables, plain quotes, redirections and `;` `&` `|`.
// Without keywords there is one way to read it, and a second opinion only costs time.
bool is_simple(std::string_view text);

// Reads `text` with the tree-sitter grammar for bash, as a second opinion:
// empty when it has no error and every command in it begins at one of
// `starts`; otherwise what is wrong. Commands inside backquotes and
// here-documents are left out: their texts are checked on their own.
std::string_view check_by_grammar(std::string_view text, const std::vector<std::uint32_t>& starts);

}  // namespace substrate::policy
