#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace substrate::plan {

// The words of `line` when it is one simple command that a POSIX shell would
// execute as it stands: plain words, no expansion, quoting, assignment,
// operator or comment, and a first word that is neither a keyword nor a
// built-in of bash. Executing them directly is then the same as `bash -c line`.
std::optional<std::vector<std::string>> simple_command(std::string_view line);

// A process environment ("NAME=value"), parted by is_passed_variable.
struct SelectedEnvironment {
    std::map<std::string, std::string> passed;
    std::vector<std::string> withheld;  // "NAME=value", sorted: only ever hashed
};
SelectedEnvironment select_environment(const std::vector<std::string>& environment);

// A variable by which a shell runs more than its line.
bool runs_code(std::string_view name);

// True for a name that a shell can assign: [A-Za-z_][A-Za-z0-9_]*.
bool is_variable_name(std::string_view name);

}  // namespace substrate::plan
