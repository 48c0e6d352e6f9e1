#include "codec/time_text.hpp"

#include <chrono>
#include <optional>

namespace substrate {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

void put_digits(char* at, unsigned value, int width) {
    for (int i = width - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
}

// Takes exactly `width` digits from the front of `text`.
std::optional<unsigned> take_digits(std::string_view& text, unsigned width) {
    if (text.size() < width) return std::nullopt;
    unsigned value = 0;
    for (unsigned i = 0; i < width; ++i) {
        if (text[i] < '0' || text[i] > '9') return std::nullopt;
        value = value * 10 + static_cast<unsigned>(text[i] - '0');
    }
    text.remove_prefix(width);
    return value;
}

bool take(std::string_view& text, std::string_view any_of) {
    if (text.empty() || !any_of.contains(text.front())) return false;
    text.remove_prefix(1);
    return true;
}

// The fraction after the seconds, in nanoseconds.
std::optional<unsigned> take_fraction(std::string_view& text) {
    if (!take(text, ".")) return 0;
    unsigned ns = 0;
    unsigned digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits)
        if (digits < 9) ns = ns * 10 + static_cast<unsigned>(text.front() - '0');
    if (digits == 0) return std::nullopt;
    for (; digits < 9; ++digits) ns *= 10;
    return ns;
}

// Minutes east of UTC.
std::optional<int> take_offset(std::string_view& text) {
    if (take(text, "Zz")) return 0;
    const bool west = text.starts_with('-');
    if (!take(text, "+-")) return std::nullopt;
    const auto hours = take_digits(text, 2);
    if (!hours || *hours > 23 || !take(text, ":")) return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *minutes > 59) return std::nullopt;
    const int total = static_cast<int>(*hours * 60 + *minutes);
    return west ? -total : total;
}

std::optional<std::int64_t> parse(std::string_view text) {
    using namespace std::chrono;
    const auto y = take_digits(text, 4);
    if (!y || !take(text, "-")) return std::nullopt;
    const auto mo = take_digits(text, 2);
    if (!mo || !take(text, "-")) return std::nullopt;
    const auto d = take_digits(text, 2);
    if (!d || !take(text, "Tt ")) return std::nullopt;
    const auto h = take_digits(text, 2);
    if (!h || *h > 23 || !take(text, ":")) return std::nullopt;
    const auto mi = take_digits(text, 2);
    if (!mi || *mi > 59 || !take(text, ":")) return std::nullopt;
    const auto s = take_digits(text, 2);
    if (!s || *s > 60) return std::nullopt;  // 60: a leap second
    const auto ns = take_fraction(text);
    const auto offset = take_offset(text);
    if (!ns || !offset || !text.empty()) return std::nullopt;
    const year_month_day date(year(static_cast<int>(*y)), month(*mo), day(*d));
    if (!date.ok()) return std::nullopt;
    const std::int64_t seconds =
        sys_days(date).time_since_epoch().count() * 86'400LL + *h * 3600 + *mi * 60 + *s - *offset * 60LL;
    std::int64_t total = 0;
    // The first representable second is only partly representable, so count
    // from the second after it and step back.
    if (seconds < 0) {
        if (__builtin_mul_overflow(seconds + 1, kSecond, &total) ||
            __builtin_sub_overflow(total, kSecond - static_cast<std::int64_t>(*ns), &total))
            return std::nullopt;
    } else if (__builtin_mul_overflow(seconds, kSecond, &total) ||
               __builtin_add_overflow(total, static_cast<std::int64_t>(*ns), &total)) {
        return std::nullopt;
    }
    return total;
}

}  // namespace

std::string format_rfc3339(std::int64_t ns) {
    using namespace std::chrono;
    std::int64_t seconds = ns / kSecond;
    std::int64_t fraction = ns % kSecond;
    if (fraction < 0) {
        fraction += kSecond;
        --seconds;
    }
    std::int64_t day_number = seconds / 86'400;
    std::int64_t in_day = seconds % 86'400;
    if (in_day < 0) {
        in_day += 86'400;
        --day_number;
    }
    const year_month_day date{sys_days(days(static_cast<int>(day_number)))};
    std::string text = "0000-00-00T00:00:00.000000000Z";
    char* at = text.data();
    put_digits(at, static_cast<unsigned>(static_cast<int>(date.year())), 4);
    put_digits(at + 5, static_cast<unsigned>(date.month()), 2);
    put_digits(at + 8, static_cast<unsigned>(date.day()), 2);
    put_digits(at + 11, static_cast<unsigned>(in_day / 3600), 2);
    put_digits(at + 14, static_cast<unsigned>(in_day / 60 % 60), 2);
    put_digits(at + 17, static_cast<unsigned>(in_day % 60), 2);
    put_digits(at + 20, static_cast<unsigned>(fraction), 9);
    return text;
}

Result<std::int64_t> parse_rfc3339(std::string_view text) {
    if (const auto ns = parse(text)) return *ns;
    return fail({Errc::invalid, "not an RFC 3339 time"});
}

}  // namespace substrate
