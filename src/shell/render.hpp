#pragma once

#include <string>

#include "model/fs_diff.hpp"
#include "model/span.hpp"

namespace substrate::shell {

// "  + path", "  ~ path", "  - path" lines, safe to print on a terminal, and
// the summary of a truncated diff.
std::string render_changes(const FsDiff& diff);
// "3 created, 1 modified, 0 deleted".
std::string render_counts(const FsDiff& diff);
// One span for people.
std::string render_span(const Span& span);
// One line of a list of spans.
std::string render_span_line(const Span& span);

}  // namespace substrate::shell
