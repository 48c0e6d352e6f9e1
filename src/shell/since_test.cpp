#include "shell/since.hpp"

#include <gtest/gtest.h>

namespace substrate::shell {
namespace {

constexpr std::int64_t kNow = 1'800'000'000'000'000'000;

TEST(Since, AgesAndTimes) {
    EXPECT_EQ(parse_since("90s", kNow).value(), kNow - 90'000'000'000);
    EXPECT_EQ(parse_since("15m", kNow).value(), kNow - 900'000'000'000);
    EXPECT_EQ(parse_since("2h", kNow).value(), kNow - 7'200'000'000'000);
    EXPECT_EQ(parse_since("3d", kNow).value(), kNow - 259'200'000'000'000);
    EXPECT_EQ(parse_since("2026-01-31T12:00:00Z", kNow).value(), 1'769'860'800'000'000'000);
}

TEST(Since, AnAgeBeforeAllTimeIsTheBeginning) {
    EXPECT_EQ(parse_since("999999999d", kNow).value(), 0);
    EXPECT_EQ(parse_since("9223372036854775807s", kNow).value(), 0);
}

TEST(Since, OtherTextsAreRefused) {
    for (const char* text : {"", "5", "m", "-5m", "5w", "5m ", "5 m", "yesterday", "99999999999999999999d"})
        EXPECT_EQ(parse_since(text, kNow).error().code(), Errc::invalid) << text;
}

}  // namespace
}  // namespace substrate::shell
