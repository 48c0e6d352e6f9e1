#include "base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace substrate {
namespace {

// Length of the well-formed UTF-8 sequence at the start of `s`, 0 if there is none.
unsigned sequence_length(std::string_view s, char32_t& code_point) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) {
        code_point = lead;
        return 1;
    }
    const unsigned length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || s.size() < length) return 0;
    char32_t value = lead & (0xffu >> (length + 1));
    for (unsigned i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
        value = (value << 6) | (byte(i) & 0x3f);
    }
    constexpr char32_t kShortest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < kShortest[length] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) return 0;
    code_point = value;
    return length;
}

// Characters that move, hide or reorder what a terminal shows.
bool is_unsafe(char32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

std::string visible(char32_t c) {
    if (c == '\n') return "\\n";
    if (c == '\t') return "\\t";
    if (c == '\r') return "\\r";
    return c < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(c))
                    : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(c));
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
    char32_t ignored = 0;
    while (!bytes.empty()) {
        const unsigned length = sequence_length(bytes, ignored);
        if (length == 0) return false;
        bytes.remove_prefix(length);
    }
    return true;
}

std::string printable(std::string_view bytes) {
    std::string out;
    bool escaped = false;
    for (std::string_view rest = bytes; !rest.empty();) {
        char32_t c = 0;
        const unsigned length = sequence_length(rest, c);
        if (length == 0) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest.front()));
            escaped = true;
        } else if (is_unsafe(c)) {
            out += visible(c);
            escaped = true;
        } else if (c == '\\') {
            out += "\\\\";
        } else {
            out.append(rest.substr(0, length));
        }
        rest.remove_prefix(length == 0 ? 1 : length);
    }
    return escaped ? out : std::string(bytes);
}

std::string escape_bytes(std::string_view bytes) {
    std::string out;
    for (std::string_view rest = bytes; !rest.empty();) {
        char32_t c = 0;
        const unsigned length = sequence_length(rest, c);
        if (length == 0) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(rest.front()));
        else if (c == '\\') out += "\\\\";
        else out.append(rest.substr(0, length));
        rest.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

std::string unescape_bytes(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\\') {
            out += '\\';
            ++i;
        } else if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' &&
                   hex_digit(text[i + 2]) >= 0 && hex_digit(text[i + 3]) >= 0) {
            out += static_cast<char>(hex_digit(text[i + 2]) * 16 + hex_digit(text[i + 3]));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::string format_utc(std::int64_t realtime_ns) {
    using namespace std::chrono;
    const sys_time<nanoseconds> instant{nanoseconds(realtime_ns)};
    const auto day = floor<days>(instant);
    const year_month_day date(day);
    const hh_mm_ss time(floor<microseconds>(instant - day));
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       time.hours().count(), time.minutes().count(), time.seconds().count(),
                       time.subseconds().count());
}

std::string shell_join(const std::vector<std::string>& words) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
    std::string line;
    for (const std::string& word : words) {
        if (!line.empty()) line += ' ';
        const bool plain =
            !word.empty() && std::ranges::all_of(word, [&](char c) { return kPlain.contains(c); });
        if (plain) {
            line += word;
            continue;
        }
        line += '\'';
        for (const char c : word) {
            if (c == '\'') line += "'\\''";
            else line += c;
        }
        line += '\'';
    }
    return line;
}

}  // namespace substrate
