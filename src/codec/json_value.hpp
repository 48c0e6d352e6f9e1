#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace substrate {

// Object keys are sorted, so equal values have equal texts.
using Json = nlohmann::json;

struct JsonLimits {
    std::size_t max_bytes = 16u << 20;
    unsigned max_depth = 64;
};

// Errc::invalid, naming the byte offset, for text that is not one JSON value
// (RFC 8259) or is over a limit. Of equal keys in one object the last counts.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

// One line without spaces. Each byte that is not UTF-8 becomes U+FFFD: values
// that may hold such bytes are stored by put_bytes. Recurses as deep as the value.
std::string dump_json(const Json& value);
// The same, indented by two spaces, for people.
std::string dump_json_pretty(const Json& value);
void append_json(std::string& out, const Json& value);

// Stores bytes of any kind under `key`. What is not UTF-8 is stored as
// escape_bytes of base/text.hpp beside `<key>_escaped: true`; for an array or an
// object that flag speaks for all members.
void put_bytes(Json& object, std::string_view key, std::string_view bytes);
void put_bytes(Json& object, std::string_view key, const std::vector<std::string>& list);
void put_bytes(Json& object, std::string_view key, const std::map<std::string, std::string>& members);

}  // namespace substrate
