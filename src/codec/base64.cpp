#include "codec/base64.hpp"

#include <array>
#include <cstdint>

namespace substrate {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNone = 0xff;

// The two characters of each 12 bits: half the look-ups of one for each 6.
struct Pairs {
    std::array<char, 2 * 4096> text{};
    constexpr Pairs() {
        for (std::size_t bits = 0; bits < 4096; ++bits) {
            text[2 * bits] = kAlphabet[bits >> 6];
            text[2 * bits + 1] = kAlphabet[bits & 63];
        }
    }
};
constexpr Pairs kPairs;

constexpr std::array<std::uint8_t, 256> kValues = [] {
    std::array<std::uint8_t, 256> values{};
    values.fill(kNone);
    for (std::uint8_t i = 0; i < 64; ++i) values[static_cast<std::uint8_t>(kAlphabet[i])] = i;
    return values;
}();

std::uint32_t byte_at(std::string_view bytes, std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); }

Error bad(std::string_view what) { return {Errc::invalid, "not base64: " + std::string(what)}; }

}  // namespace

void append_base64(std::string& out, std::string_view bytes) {
    const std::size_t start = out.size();
    out.resize(start + (bytes.size() + 2) / 3 * 4);
    char* to = out.data() + start;
    const auto put = [&](std::uint32_t bits) {
        const char* pair = &kPairs.text[2 * std::size_t{bits & 0xfff}];
        *to++ = pair[0];
        *to++ = pair[1];
    };
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        const std::uint32_t group =
            byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 | byte_at(bytes, i + 2);
        put(group >> 12);
        put(group);
    }
    const std::size_t rest = bytes.size() - i;
    if (rest == 0) return;
    const std::uint32_t group = byte_at(bytes, i) << 16 | (rest == 2 ? byte_at(bytes, i + 1) << 8 : 0);
    put(group >> 12);
    put(group);
    to[-1] = '=';
    if (rest == 1) to[-2] = '=';
}

std::string to_base64(std::string_view bytes) {
    std::string out;
    append_base64(out, bytes);
    return out;
}

Result<std::string> from_base64(std::string_view text) {
    if (text.size() % 4 != 0) return fail(bad("its length is no multiple of four"));
    std::size_t padding = 0;
    if (text.ends_with("==")) padding = 2;
    else if (text.ends_with('=')) padding = 1;
    std::string out;
    out.reserve(text.size() / 4 * 3);
    for (std::size_t i = 0; i < text.size(); i += 4) {
        const std::size_t missing = i + 4 == text.size() ? padding : 0;
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const std::uint8_t value =
                k + missing >= 4 ? std::uint8_t{0} : kValues[static_cast<std::uint8_t>(text[i + k])];
            if (value == kNone) return fail(bad("a foreign character at byte " + std::to_string(i + k)));
            group = group << 6 | value;
        }
        for (std::size_t k = 0; k < 3; ++k) {
            const auto byte = static_cast<char>(group >> (16 - 8 * k) & 0xff);
            if (k + missing < 3) out += byte;
            else if (byte != 0) return fail(bad("bits behind the last byte"));
        }
    }
    return out;
}

}  // namespace substrate
