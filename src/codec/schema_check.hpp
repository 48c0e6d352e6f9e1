#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "codec/yaml_value.hpp"

namespace substrate {

// A YAML text read as JSON: plain true, false, null and numbers are such, everything else
// is text (the core schema of YAML 1.2, without its octal numbers, infinities and NaN).
Json to_json(const YamlNode& node);

// Where a value breaks its schema.
struct SchemaBreach {
    std::string pointer;  // of the value's part (RFC 6901); of an unknown or missing member too
    std::string keyword;  // that it breaks: "type", "required", …
    std::string message;  // "is not a string"; without the pointer
};

// Holds `value` against a schema of JSON Schema 2020-12 inside `document`, which "$ref"
// leads into ("#/…"). Known: $ref, type, properties, required, additionalProperties, items,
// enum, minLength, maxLength, minimum, maximum, minItems, maxItems, maxProperties; notes such as
// description and example are passed over. Any other keyword is Errc::internal: what is not
// checked must not look as if it were.
Result<std::optional<SchemaBreach>> check_schema(const Json& document, const Json& schema, const Json& value);

}  // namespace substrate
