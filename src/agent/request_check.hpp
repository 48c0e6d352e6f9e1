#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "agent/document.hpp"
#include "agent/exchange.hpp"
#include "codec/json_value.hpp"

namespace substrate::agent {

// The body of a request for this operation as the document has it: null where it has none, an empty object
// where one that may be left out was. The error is the answer: 400 with a pointer to what is wrong, 415 for
// another type than JSON.
std::expected<Json, HttpResponse> read_body(const Document& document, const Document::Operation& operation,
                                            std::string_view query, std::string_view content_type,
                                            std::string_view body);

}  // namespace substrate::agent
