#pragma once

#include <string>

#include "base/result.hpp"

namespace substrate::shell {

// Whether a shell would ask for more before it runs `text`: a quotation, a compound command or a
// here-document is open, or the last line ends in a backslash. By the word of `bash -n`, which reads and runs
// nothing; an error where it cannot be started.
Result<bool> is_unfinished(const std::string& shell, const std::string& text);

}  // namespace substrate::shell
