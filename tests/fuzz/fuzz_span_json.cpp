// Any bytes: refused, or a span and an event whose text reads back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/event_json.hpp"
#include "codec/span_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    const auto json = parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!json) return 0;
    if (const auto span = span_from_json(*json)) {
        const std::string text = dump_json(to_json(*span));
        const auto again = parse_json(text);
        if (!again) std::abort();
        const auto back = span_from_json(*again);
        if (!back || dump_json(to_json(*back)) != text) std::abort();
    }
    if (const auto event = event_from_json(*json)) {
        const auto back = event_from_json(to_json(*event));
        if (!back || back->fields != event->fields || back->ts_ns != event->ts_ns) std::abort();
    }
    return 0;
}
