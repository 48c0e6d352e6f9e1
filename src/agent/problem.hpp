#pragma once

#include <string_view>

#include "agent/exchange.hpp"
#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::agent {

// The usual phrase of an HTTP status that we send (RFC 9110).
std::string_view phrase_of(int status);

// An answer as of RFC 9457. `error` is a word for programs, `detail` a line for people. More
// members, such as the "pointer" to the part of the request that is wrong, come from `more`.
HttpResponse problem(int status, std::string_view error, std::string_view detail, Json more = Json::object());
// What a failed operation answers: status and word by the error's code.
HttpResponse problem(const Error& error);
HttpResponse json_response(const Json& body);

}  // namespace substrate::agent
