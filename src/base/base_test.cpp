#include <gtest/gtest.h>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "base/result.hpp"
#include "base/text.hpp"

namespace substrate {
namespace {

class FixedEnv final : public Env {
  public:
    std::int64_t now = 1'700'000'000'123'000'000;
    std::int64_t realtime_ns() const override { return now; }
    std::int64_t monotonic_ns() const override { return 0; }
    void random(std::span<std::uint8_t> bytes) const override {
        for (auto& byte : bytes) byte = 0xff;
    }
    std::optional<std::string> variable(std::string_view) const override { return std::nullopt; }
};

Result<int> twice(int x) {
    if (x < 0) return fail({Errc::invalid, "negative"});
    return 2 * x;
}

Result<int> twice_and_one(int x) {
    SUB_TRY_ASSIGN(const int doubled, twice(x));
    SUB_TRY_DURING(twice(doubled), "doubling again");
    return doubled + 1;
}

TEST(Result, PropagatesValuesAndErrors) {
    EXPECT_EQ(twice_and_one(2).value(), 5);
    EXPECT_EQ(twice_and_one(-1).error().message(), "negative");
}

TEST(Error, NamesContextOperationAndErrnoInOrder) {
    errno = ENOENT;
    auto error = Error::last_os("open", "/x").during("reading it").during("starting");
    EXPECT_EQ(std::move(error).hint("make it").describe(),
              "starting: reading it: open '/x': No such file or directory (make it)");
}

TEST(Ids, AreVersion7AndSortByTime) {
    FixedEnv env;
    const std::string first = make_span_id(env);
    EXPECT_EQ(first, "spn_018bcfe5-687b-7fff-bfff-ffffffffffff");
    env.now += 1'000'000;
    EXPECT_LT(first, make_span_id(env));
    EXPECT_TRUE(is_id(first, "spn"));
    EXPECT_FALSE(is_id(first, "wld"));
    EXPECT_FALSE(is_id("spn_../../../etc/passwd-aaaaaaaaaaaaaaaaa", "spn"));
    EXPECT_FALSE(is_id("spn_018BCFE5-687b-7fff-bfff-ffffffffffff", "spn"));
}

TEST(Paths, WithinIsByComponent) {
    EXPECT_TRUE(is_within("/a/b", "/a"));
    EXPECT_TRUE(is_within("/a", "/a"));
    EXPECT_FALSE(is_within("/ab", "/a"));
    EXPECT_TRUE(is_within("/ab", "/"));
    EXPECT_EQ(parent_of("/a"), "/");
    EXPECT_EQ(parent_of("/a/b"), "/a");
}

TEST(Text, PrintableHidesNothingAndMovesNothing) {
    EXPECT_EQ(printable("plain \\ text \xc3\xa9"), "plain \\ text \xc3\xa9");
    EXPECT_EQ(printable("a\x1b[31mb\n"), "a\\x1b[31mb\\n");
    EXPECT_EQ(printable("evil\xe2\x80\xaetxt"), "evil\\u{202e}txt");
    EXPECT_EQ(printable("\xff\\"), "\\xff\\\\");
    EXPECT_EQ(printable("\x7f"), "\\x7f");
}

TEST(Text, EscapedBytesComeBack) {
    for (const std::string& bytes :
         {std::string("a\\b"), std::string("\xff\xfe"), std::string("\\xff"), std::string("x\0y", 3)})
        EXPECT_EQ(unescape_bytes(escape_bytes(bytes)), bytes);
    EXPECT_TRUE(is_utf8(escape_bytes("\xc0\xaf")));
    EXPECT_FALSE(is_utf8("\xed\xa0\x80")) << "a surrogate is not UTF-8";
}

TEST(Text, UtcAndShellWords) {
    EXPECT_EQ(format_utc(1'700'000'000'123'456'789), "2023-11-14T22:13:20.123456Z");
    EXPECT_EQ(shell_join({"a", "b c", "it's", ""}), "a 'b c' 'it'\\''s' ''");
}

TEST(Paths, NormalizedDropsWhatMeansNothing) {
    EXPECT_EQ(normalized("/"), "/");
    EXPECT_EQ(normalized("//"), "/");
    EXPECT_EQ(normalized("/./"), "/");
    EXPECT_EQ(normalized("//a//b/./c/."), "/a/b/c");
    EXPECT_EQ(normalized("/a/.b/..c/d./"), "/a/.b/..c/d.");
    EXPECT_EQ(normalized("/a/../b"), "/a/../b");
    for (const char* path : {"/..", "/a/..", "/a/../b", "../a", ".."}) EXPECT_TRUE(has_dot_dot(path)) << path;
    for (const char* path : {"/", "/a/..b", "/a../b", "/a/..."}) EXPECT_FALSE(has_dot_dot(path)) << path;
}

}  // namespace
}  // namespace substrate
