#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace substrate::trace {

inline constexpr std::string_view kRedacted = "[REDACTED]";

// `text` (a command line, a header, a message, in any mixture) with every secret
// that can be recognised replaced by kRedacted and all other bytes as they were.
// Recognised are values of secret options, assignments, JSON members, HTTP
// headers and URLs, password options of known tools, and known token shapes;
// redact_test.cpp is the list. A value that only names a variable ("$TOKEN")
// stays. Takes linear time; redact(redact(x)) == redact(x).
std::string redact(std::string_view text);

// The same for an argument vector, where an option and its value are apart and
// no quoting applies. Keeps the number of arguments.
std::vector<std::string> redact_argv(const std::vector<std::string>& argv);

// The value of the variable `name`: replaced as a whole when the name says that
// it is secret, else redact(value).
std::string redact_variable(std::string_view name, std::string_view value);

}  // namespace substrate::trace
