#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace substrate {

// True when every byte belongs to well-formed UTF-8 (RFC 3629).
bool is_utf8(std::string_view bytes);

// `bytes` as it may be written to a terminal: control characters, escape
// sequences, bidirectional and zero-width formatting characters and bytes that
// are not UTF-8 become visible escapes (\n, \x1b, \u{202e}); a backslash is doubled
// only where an escape was needed.
std::string printable(std::string_view bytes);

// Bytes that are not UTF-8 as \xNN and each backslash doubled; the inverse is
// unescape_bytes. For text formats that must hold any file name.
std::string escape_bytes(std::string_view bytes);
std::string unescape_bytes(std::string_view text);

// "2026-11-22T02:42:00.123456Z" from nanoseconds since the epoch.
std::string format_utc(std::int64_t realtime_ns);

// Words separated by single quotes where needed, so that a POSIX shell reads
// back exactly `words`.
std::string shell_join(const std::vector<std::string>& words);

}  // namespace substrate
