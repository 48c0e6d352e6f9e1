#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "agent/exchange.hpp"
#include "codec/json_value.hpp"

namespace substrate::agent {

// What a client of /v1/stream says: a text message, one JSON object with a "type".
struct ClientFrame {
    std::string type;   // "start", "stdin", "resize", "signal", "close", "exec"
    Json body;          // fits the schema of that type
    std::string input;  // of "stdin": its bytes
};

// Reads one and holds it against the document's components.schemas.Stream…; what a schema cannot say is
// checked here. The error is the frame that says what is wrong: "error" with "invalid" and a pointer.
std::expected<ClientFrame, Json> read_client_frame(const Json& document, std::string_view text);

// An answer's problem as a frame of the type "error".
Json error_frame(const HttpResponse& problem);
Json error_frame(std::string_view error, std::string_view message);

}  // namespace substrate::agent
