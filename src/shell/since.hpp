#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace substrate::shell {

// "90s", "15m", "2h", "3d" before now, or a time as it stands in the trace (RFC 3339); in
// nanoseconds since the epoch.
Result<std::int64_t> parse_since(const std::string& text, std::int64_t now_ns);

}  // namespace substrate::shell
