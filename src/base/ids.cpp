#include "base/ids.hpp"

#include <array>
#include <span>

namespace substrate {

std::string make_id(const Env& env, std::string_view prefix) {
    std::array<std::uint8_t, 16> bytes{};
    env.random(bytes);
    const auto millis = static_cast<std::uint64_t>(env.realtime_ns() / 1'000'000);
    for (unsigned i = 0; i < 6; ++i) bytes[i] = static_cast<std::uint8_t>(millis >> (8 * (5 - i)));
    bytes[6] = static_cast<std::uint8_t>(0x70 | (bytes[6] & 0x0f));
    bytes[8] = static_cast<std::uint8_t>(0x80 | (bytes[8] & 0x3f));
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string id(prefix);
    id += '_';
    for (unsigned i = 0; i < 16; ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
        id += kHex[bytes[i] >> 4];
        id += kHex[bytes[i] & 0x0f];
    }
    return id;
}

std::optional<std::int64_t> time_of_id(std::string_view id) {
    const std::size_t at = id.find('_');
    if (at == std::string_view::npos || !is_id(id, id.substr(0, at))) return std::nullopt;
    std::int64_t millis = 0;
    for (const char c : id.substr(at + 1, 13))
        if (c != '-') millis = millis * 16 + (c <= '9' ? c - '0' : c - 'a' + 10);
    return millis * 1'000'000;
}

}  // namespace substrate
