#include "shell/since.hpp"

#include <charconv>
#include <string_view>

#include "codec/time_text.hpp"

namespace substrate::shell {

Result<std::int64_t> parse_since(const std::string& text, std::int64_t now_ns) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    std::int64_t count = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), count);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() - 1 && count >= 0) {
        const std::string_view units = "smhd";
        constexpr std::int64_t kSeconds[] = {1, 60, 3600, 86400};
        if (const auto unit = units.find(text.back()); unit != std::string_view::npos) {
            const std::int64_t each = kSeconds[unit] * kSecond;
            return count > now_ns / each ? 0 : now_ns - count * each;
        }
    }
    auto time = parse_rfc3339(text);
    if (!time) return fail(std::move(time).error().hint("write 15m, 2h, 3d or 2026-01-31T12:00:00Z"));
    return time;
}

}  // namespace substrate::shell
