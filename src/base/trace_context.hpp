#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace substrate {

// A place in a distributed trace, as the `traceparent` of W3C Trace Context writes it:
// "00-<trace id>-<parent id>-<flags>" in lower-case hexadecimal digits.

// The value in the form of version 00, with those of its flags that the specification knows. nullopt for
// what is none: other characters, an id of zeros, version ff. Of later versions the part that
// version 00 has is read (section 3.2.4).
std::optional<std::string> read_traceparent(std::string_view text);

// What a span passes on to whom it calls: the trace and flags of its own `traceparent` (of
// read_traceparent), and itself as the parent. Its parent id is the last 16 digits of `span_id`, an id of
// make_span_id.
std::string traceparent_of_span(std::string_view traceparent, std::string_view span_id);

}  // namespace substrate
