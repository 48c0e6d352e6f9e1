#pragma once

#include <string>

#include "base/result.hpp"

namespace substrate::shell {

// One argument of execve(2) is shorter than this (MAX_ARG_STRLEN).
inline constexpr std::size_t kMaxScript = (128u << 10) - 1;  // bytes

// The commands of a script or of standard input, read whole before any of them runs: what is
// judged is what is executed, whatever happens to the file meanwhile. `name` is for messages.
// Errc::invalid for one that is longer than kMaxScript, holds a NUL byte, or whose first line
// names an interpreter that is no shell.
Result<std::string> read_script(int fd, const std::string& name);
Result<std::string> read_script_file(const std::string& path);

}  // namespace substrate::shell
