#pragma once

#include <string_view>
#include <utility>

#include "codec/event_json.hpp"
#include "codec/json_value.hpp"
#include "model/span.hpp"

namespace substrate::trace {

class Record;

// A span of a command that has not ended: what is known of it by then, redacted.
class SpanDraft {
  public:
    SpanDraft() = default;

  private:
    friend SpanDraft begin(const Span& span);
    friend Record finish(SpanDraft draft, const Span& span);
    explicit SpanDraft(Json json) : json_(std::move(json)) {}
    Json json_ = Json::object();
};

// What may be written to the trace. Only prepare() and finish() makes one, so nothing reaches
// the trace without having been redacted.
class Record {
  public:
    const Json& json() const { return json_; }
    bool is_span() const;

  private:
    friend Record finish(SpanDraft draft, const Span& span);
    friend Record prepare(const Event& event);
    friend class TraceWriter;  // moves large fields out
    explicit Record(Json json) : json_(std::move(json)) {}
    Json json_;
};

// Redacts the command, both argument vectors, the recorded variables and the
// words of the policy's decision.
Record prepare(const Span& span);
// The same in two steps: most of the work while the command still runs. `span` differs
// in what put_ending of codec/span_json.hpp writes.
SpanDraft begin(const Span& span);
Record finish(SpanDraft draft, const Span& span);
// Redacts every string of the fields: members of an `env` by their names, `argv`
// as arguments, members with secret names as a whole.
Record prepare(const Event& event);

}  // namespace substrate::trace
