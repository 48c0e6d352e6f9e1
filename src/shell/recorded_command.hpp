#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"
#include "policy/command_line.hpp"
#include "shell/console.hpp"
#include "trace/reader.hpp"

namespace substrate::shell {

// A recorded command in the form in which policies judge it.
struct RecordedCommand {
    std::string line;               // for a shell
    std::vector<std::string> argv;  // or: exactly this
    policy::Dialect dialect = policy::Dialect::bash;
    std::string cwd;
    std::string project;
    // Secrets were taken out before it was written: kTakenOut stands in their places.
    bool redacted = false;
};

// A word without special characters, so that a shell reads it as the secret it stands for.
inline constexpr std::string_view kTakenOut = "REDACTED";

RecordedCommand recorded_command(const Span& span);
std::string shown_line(const RecordedCommand& command);
policy::ParsedLine parse_recorded(const RecordedCommand& command, const std::string& home);

// The finished commands that the filter wants, oldest first, without their file changes.
// What cannot be read is noted and passed over.
Result<> each_recorded_span(const Console& console, trace::TraceFilter filter,
                            const std::function<void(Span&&)>& visit);

}  // namespace substrate::shell
