#include "codec/event_json.hpp"

#include <algorithm>
#include <array>

#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"
#include "model/span.hpp"

namespace substrate {
namespace {

constexpr std::array<std::string_view, 5> kCommon = {"event_type", "trace_schema_version", "ts", "session_id",
                                                     "span_id"};

}  // namespace

Json to_json(const Event& event) {
    Json object = Json::object();
    object.emplace("event_type", event.type);
    object.emplace("trace_schema_version", kTraceSchemaVersion);
    object.emplace("ts", format_rfc3339(event.ts_ns));
    if (!event.session_id.empty()) object.emplace("session_id", event.session_id);
    if (!event.span_id.empty()) object.emplace("span_id", event.span_id);
    if (event.fields.is_object())
        for (const auto& [key, value] : event.fields.items())
            if (std::ranges::find(kCommon, key) == kCommon.end()) object.emplace(key, value);
    return object;
}

Result<Event> event_from_json(const Json& value) {
    ObjectReader reader(value);
    Event event;
    reader.require("event_type");
    reader.string("event_type", event.type);
    if (event.type.empty()) reader.problem("event_type", "is empty");
    reader.time("ts", event.ts_ns);
    reader.string("session_id", event.session_id);
    reader.string("span_id", event.span_id);
    SUB_TRY(reader.finish());
    for (const auto& [key, member] : value.items())
        if (std::ranges::find(kCommon, key) == kCommon.end()) event.fields.emplace(key, member);
    return event;
}

}  // namespace substrate
