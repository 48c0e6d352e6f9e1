#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "shell/line_editor.hpp"

namespace substrate::shell {

// What a "command", "variable" or "file" that begins with `word` could be; directories end in a slash.
using WordSource = std::function<std::vector<std::string>(const std::string& kind, const std::string& word)>;

// What could stand in place of the word at the end of `before`, the beginning of a line of a shell: a command
// where one may stand, a variable behind `$`, else a file; at the very beginning also one of `own`, which
// begin with a colon. Names are written so that the shell reads them as they are. Nothing within quotes.
Completion complete_word(std::string_view before, const std::vector<std::string>& own,
                         const WordSource& source);

}  // namespace substrate::shell
