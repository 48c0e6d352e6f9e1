#include "base/trace_context.hpp"

#include <algorithm>

namespace substrate {
namespace {

// Of version 00: "00-" 32 "-" 16 "-" 2.
constexpr std::size_t kTraceAt = 3, kTraceSize = 32;
constexpr std::size_t kParentAt = kTraceAt + kTraceSize + 1, kParentSize = 16;
constexpr std::size_t kFlagsAt = kParentAt + kParentSize + 1;
constexpr std::size_t kSize = kFlagsAt + 2;
constexpr int kKnownFlags = 0x03;  // sampled, random trace id

bool is_hex(std::string_view text) {
    return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}
bool is_zero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }
int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

}  // namespace

std::optional<std::string> read_traceparent(std::string_view text) {
    if (text.size() < kSize) return std::nullopt;
    const std::string_view version = text.substr(0, 2), trace = text.substr(kTraceAt, kTraceSize),
                           parent = text.substr(kParentAt, kParentSize), flags = text.substr(kFlagsAt, 2);
    if (text[kTraceAt - 1] != '-' || text[kParentAt - 1] != '-' || text[kFlagsAt - 1] != '-')
        return std::nullopt;
    if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(flags)) return std::nullopt;
    if (version == "ff" || is_zero(trace) || is_zero(parent)) return std::nullopt;
    if (text.size() > kSize && (version == "00" || text[kSize] != '-')) return std::nullopt;
    std::string made = "00-";
    made.append(trace).append("-").append(parent).append("-0");
    made += static_cast<char>('0' + (digit(flags[1]) & kKnownFlags));
    return made;
}

std::string traceparent_of_span(std::string_view traceparent, std::string_view span_id) {
    std::string digits;
    for (const char c : span_id.substr(std::min(span_id.size(), span_id.find('_') + 1)))
        if (c != '-') digits += c;
    std::string made(traceparent);
    if (digits.size() >= kParentSize && made.size() == kSize)
        made.replace(kParentAt, kParentSize, digits.substr(digits.size() - kParentSize));
    return made;
}

}  // namespace substrate
