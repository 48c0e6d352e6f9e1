#pragma once

#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/control_protocol.hpp"
#include "model/exec.hpp"

// The control protocol between our own programs and the agent: frames of a u32
// length and a CBOR object with a member "type".
namespace substrate::supervisor {

namespace message = substrate::message;

Json to_json(const ExecRequest& request);
Result<ExecRequest> exec_request_from_json(const Json& json);
Json to_json(const OutputRecord& output);
OutputRecord output_from_json(const Json& json);
Json to_json(const Error& error);
Error error_from_json(const Json& json);

// Members of a message that may be missing or of another type.
std::string text_of(const Json& json, const char* key);
std::int64_t number_of(const Json& json, const char* key);
bool flag_of(const Json& json, const char* key);
std::vector<std::string> texts_of(const Json& json, const char* key);

}  // namespace substrate::supervisor
