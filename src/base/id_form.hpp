#pragma once

#include <string_view>

namespace substrate {

// True for exactly "<prefix>_" and a lower-case UUID. Ids become path
// components, so anything that a person or a peer names is checked first.
// Calls no function of the C library: it is asked before there is one.
[[gnu::always_inline]] constexpr bool is_id(std::string_view text, std::string_view prefix) {
    constexpr unsigned kUuid = 36;
    const auto begin = prefix.size() + 1;
    if (text.size() != begin + kUuid || text[prefix.size()] != '_') return false;
    for (unsigned i = 0; i < prefix.size(); ++i)
        if (text[i] != prefix[i]) return false;
    for (unsigned i = 0; i < kUuid; ++i) {
        const char c = text[begin + i];
        const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (hyphen ? c != '-' : (c < '0' || c > '9') && (c < 'a' || c > 'f')) return false;
    }
    return true;
}

}  // namespace substrate
