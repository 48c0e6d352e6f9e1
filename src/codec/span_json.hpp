#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/span.hpp"

namespace substrate {

// The `command_complete` record of schemas/trace.schema.json. Nothing is
// redacted here: trace/record.hpp does that before anything is written.
Json to_json(const Span& span);
// The same in two parts: what is known when the command starts, and what only its end
// tells: when, exit, outcome, usage, change and output. put_ending expects none of its own there.
Json beginning_json(const Span& span);
void put_ending(Json& object, const Span& span);

// Unknown members are ignored; a missing span_id or event_type, another event
// type, a wrong type or an unknown word is Errc::invalid naming its JSON pointer.
Result<Span> span_from_json(const Json& value);

}  // namespace substrate
