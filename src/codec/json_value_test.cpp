#include "codec/json_value.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"

namespace substrate {
namespace {

TEST(JsonValue, ParsesAndDumpsOneLine) {
    const auto value = parse_json(R"( {"b": [1, -2, 0.5, "é\n"], "a": null} )");
    ASSERT_TRUE(value);
    EXPECT_EQ(dump_json(*value), R"({"a":null,"b":[1,-2,0.5,"é\n"]})");
    std::string out = "x";
    append_json(out, *value);
    EXPECT_EQ(out, "x" + dump_json(*value));
}

TEST(JsonValue, ErrorsNameTheOffsetAndQuoteNothing) {
    const auto error = parse_json("{\"secret\x1b[31m\": tru}").error();
    EXPECT_EQ(error.code(), Errc::invalid);
    EXPECT_TRUE(error.message().starts_with("not JSON at byte ")) << error.message();
    EXPECT_EQ(error.message().find("secret"), std::string::npos);
    EXPECT_FALSE(parse_json(""));
    EXPECT_FALSE(parse_json("{} {}"));
    EXPECT_FALSE(parse_json("1e999"));
    EXPECT_FALSE(parse_json("\"\xff\""));
}

TEST(JsonValue, CapsSizeAndDepth) {
    EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')));
    EXPECT_EQ(parse_json(std::string(65, '[') + std::string(65, ']')).error().message(),
              "JSON nested deeper than 64 at byte 64");
    EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
    EXPECT_TRUE(parse_json("\"" + std::string(100, '[') + "\\\"[[\"")) << "brackets in a string are no depth";
    EXPECT_FALSE(parse_json("[1,2,3]", {.max_bytes = 6, .max_depth = 4}));
}

TEST(JsonValue, DumpNeverThrows) {
    Json value = Json::object();
    value["a"] = "\xff";
    EXPECT_EQ(dump_json(value), "{\"a\":\"\xef\xbf\xbd\"}");
    EXPECT_EQ(dump_json(Json("\xe2\x82")), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    EXPECT_EQ(dump_json(Json(std::nan(""))), "null");
}

TEST(JsonValue, DumpReadsBackAsItWas) {
    Json value = {1.0,
                  0.1,
                  -1e300,
                  1e-7,
                  INT64_MIN,
                  UINT64_MAX,
                  true,
                  nullptr,
                  Json::object(),
                  Json::array(),
                  "\x7f\u00e9\U0001f600"};
    std::string controls;
    for (char c = 0; c < 0x20; ++c) controls += c;
    value.push_back({{controls, controls}, {"\"\\/", 2}});
    const auto back = parse_json(dump_json(value));
    ASSERT_TRUE(back) << dump_json(value);
    EXPECT_EQ(*back, value);
    EXPECT_TRUE((*back)[0].is_number_float());
    EXPECT_EQ(dump_json(value).find('\n'), std::string::npos);
    EXPECT_EQ(parse_json(dump_json_pretty(value)).value(), value);
}

TEST(JsonValue, BytesOfEveryKindComeBack) {
    for (const std::string& raw :
         {std::string("plain \\ é"), std::string("\xff\\x41"), std::string("a\0b", 3)}) {
        Json object = Json::object();
        put_bytes(object, "one", raw);
        put_bytes(object, "list", std::vector<std::string>{"x\\", raw});
        put_bytes(object, "map", std::map<std::string, std::string>{{"K" + raw, raw}, {"L", "\\"}});
        const auto parsed = parse_json(dump_json(object));
        ASSERT_TRUE(parsed);
        ObjectReader reader(*parsed);
        std::string one;
        std::vector<std::string> list;
        std::map<std::string, std::string> map;
        reader.bytes("one", one);
        reader.bytes("list", list);
        reader.bytes("map", map);
        ASSERT_TRUE(reader.finish());
        EXPECT_EQ(one, raw);
        EXPECT_EQ(list, (std::vector<std::string>{"x\\", raw}));
        EXPECT_EQ(map.at("K" + raw), raw);
        EXPECT_EQ(map.at("L"), "\\");
    }
}

TEST(ObjectReader, NamesThePointerOfTheFirstProblem) {
    const Json value = *parse_json(R"({"a":{"list":[{"n":1},{"n":"x"}]},"big":300})");
    ObjectReader reader(value);
    reader.object("a", [](ObjectReader& a) {
        a.objects("list", [](ObjectReader& item) {
            int n = 0;
            item.integer("n", n);
        });
    });
    reader.require("never reported");
    EXPECT_EQ(reader.finish().error().message(), "'/a/list/1/n' is not an integer");
    ObjectReader again(value);
    std::uint8_t small = 7;
    again.integer("big", small);
    EXPECT_EQ(again.finish().error().message(), "'/big' is out of range");
    EXPECT_EQ(small, 7);
    EXPECT_FALSE(ObjectReader(Json(3)).finish());
}

TEST(TimeText, EveryInstantComesBack) {
    EXPECT_EQ(format_rfc3339(1'700'000'000'123'456'789), "2023-11-14T22:13:20.123456789Z");
    EXPECT_EQ(format_rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
    for (const std::int64_t ns : {std::int64_t{0}, std::int64_t{-1}, INT64_MAX, INT64_MIN, INT64_MIN + 1,
                                  std::int64_t{951'782'400'000'000'000}})
        EXPECT_EQ(parse_rfc3339(format_rfc3339(ns)).value(), ns) << ns;
}

TEST(TimeText, AcceptsOffsetsAndRefusesTheRest) {
    EXPECT_EQ(parse_rfc3339("1970-01-01T01:30:00+01:30").value(), 0);
    EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.5Z").value(), 500'000'000);
    EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00.0000000019z").value(), 1);
    for (const char* bad :
         {"", "1970-01-01", "1970-13-01T00:00:00Z", "1970-02-30T00:00:00Z", "1970-01-01T24:00:00Z",
          "1970-01-01T00:00:00", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00Zx", "9999-01-01T00:00:00Z",
          "0001-01-01T00:00:00Z", "1970-01-01T00:00:00+1:00"})
        EXPECT_FALSE(parse_rfc3339(bad)) << bad;
}

}  // namespace
}  // namespace substrate
