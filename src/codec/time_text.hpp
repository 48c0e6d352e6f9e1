#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace substrate {

// "2026-11-22T02:42:00.123456789Z" from nanoseconds since the epoch; every
// std::int64_t (years 1677 to 2262) has such a text and comes back from it.
std::string format_rfc3339(std::int64_t ns);

// RFC 3339 with "Z" or a numeric offset; digits below the nanosecond are cut.
// Errc::invalid for anything else and for instants that do not fit.
Result<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace substrate
