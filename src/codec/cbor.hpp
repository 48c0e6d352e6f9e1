#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate {

struct CborLimits {
    std::size_t max_bytes = 1u << 20;
    unsigned max_depth = 64;
};

// CBOR (RFC 8949) with shortest heads and definite lengths only; floats are
// 64 bit. A string that is not UTF-8 becomes a byte string, so a JSON string of
// any bytes comes back as it was.
std::string to_cbor(const Json& value);

// Reads what to_cbor writes, and shorter floats. Byte strings become JSON
// strings. Errc::invalid, naming the offset, for indefinite lengths, tags, keys
// that are not text, equal keys, text that is not UTF-8, bytes after the value,
// and whatever exceeds a limit.
Result<Json> from_cbor(std::string_view bytes, const CborLimits& limits = {});

}  // namespace substrate
