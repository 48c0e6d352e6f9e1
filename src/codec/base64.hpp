#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

// base64 of RFC 4648, section 4: the usual alphabet, padded, in one line.
namespace substrate {

void append_base64(std::string& out, std::string_view bytes);
std::string to_base64(std::string_view bytes);
// Errc::invalid for anything but what to_base64 writes: other characters, line breaks,
// missing padding, bits behind the last byte.
Result<std::string> from_base64(std::string_view text);

}  // namespace substrate
