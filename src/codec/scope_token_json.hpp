#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/scope_token.hpp"

namespace substrate {

// In the form of schemas/scope_token.schema.json; without a `mac` where there is none.
Json to_json(const ScopeToken& token);
// Errc::invalid, naming the member, for what is missing or of a wrong type.
Result<ScopeToken> scope_token_from_json(const Json& value);

}  // namespace substrate
