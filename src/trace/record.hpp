#pragma once

#include <string_view>
#include <utility>

#include "codec/event_json.hpp"
#include "codec/json_value.hpp"
#include "model/span.hpp"

namespace substrate::trace {

// What may be written to the trace. Only prepare() makes one, so nothing reaches
// the trace without having been redacted.
class Record {
  public:
    const Json& json() const { return json_; }
    bool is_span() const;

  private:
    friend Record prepare(const Span& span);
    friend Record prepare(const Event& event);
    friend class TraceWriter;  // moves large fields out
    explicit Record(Json json) : json_(std::move(json)) {}
    Json json_;
};

// Redacts the command, both argument vectors, the recorded variables and the
// words of the policy's decision.
Record prepare(const Span& span);
// Redacts every string of the fields: members of an `env` by their names, `argv`
// as arguments, members with secret names as a whole.
Record prepare(const Event& event);

}  // namespace substrate::trace
