#include "codec/cbor.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "codec/frame.hpp"

namespace substrate {
namespace {

TEST(Cbor, ComesBack) {
    const Json value = *parse_json(R"({"a":[0,23,24,255,256,65536,4294967296,18446744073709551615,-1,-24,-25,
        -9223372036854775808,1.5,true,false,null,"é",{}],"":{"b":[]}})");
    const auto back = from_cbor(to_cbor(value));
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(*back, value);
}

TEST(Cbor, StringsOfAnyBytesComeBack) {
    Json value = Json::object();
    value["argv"] = {"\xff\xfe", std::string("a\0b", 3)};
    value["\xfd"] = 1;
    EXPECT_EQ(from_cbor(to_cbor(value)).value(), value);
}

TEST(Cbor, MatchesTheStandardsExamples) {
    EXPECT_EQ(to_cbor(Json(1000)), "\x19\x03\xe8");
    EXPECT_EQ(to_cbor(Json(-100)), "\x38\x63");
    EXPECT_EQ(to_cbor(Json("IETF")), "\x64IETF");
    EXPECT_EQ(from_cbor("\xf9\x3c\x01").value(), Json(1.0009765625));
    EXPECT_EQ(from_cbor(std::string_view("\xfa\x47\xc3\x50\x00", 5)).value(), Json(100000.0));
    EXPECT_TRUE(std::isinf(from_cbor(std::string_view("\xf9\xfc\x00", 3)).value().get<double>()));
}

TEST(Cbor, RefusesWhatItShould) {
    const auto refused = [](std::string_view bytes) { return !from_cbor(bytes); };
    EXPECT_TRUE(refused(""));
    EXPECT_TRUE(refused("\x01\x01")) << "bytes after the value";
    EXPECT_TRUE(refused("\x9f\xff")) << "indefinite array";
    EXPECT_TRUE(refused(std::string(1'000'000, '\x7f'))) << "nested indefinite strings";
    EXPECT_TRUE(refused(std::string(1'000'000, '\x81'))) << "deep arrays";
    EXPECT_TRUE(refused("\xc1\x01")) << "tag";
    EXPECT_TRUE(refused("\xa1\x01\x02")) << "integer key";
    EXPECT_TRUE(
        refused("\xa2\x61"
                "a\x01\x61"
                "a\x02"))
        << "equal keys";
    EXPECT_TRUE(refused("\x61\xff")) << "text that is not UTF-8";
    EXPECT_TRUE(refused("\x9b\x7f\xff\xff\xff\xff\xff\xff\xff")) << "an absurd count";
    EXPECT_TRUE(refused("\x3b\xff\xff\xff\xff\xff\xff\xff\xff")) << "below the smallest integer";
    EXPECT_TRUE(refused(to_cbor(Json(std::string(1u << 20, 'x'))))) << "over the size cap";
    Json deep = 1;
    for (int i = 0; i < 64; ++i) deep = Json::array({deep});
    EXPECT_FALSE(refused(to_cbor(deep)));
    EXPECT_TRUE(refused(to_cbor(Json::array({deep}))));
}

TEST(Frame, ComesOutWhole) {
    const std::string stream = frame("one") + frame("") + frame(std::string(70'000, 'x'));
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, stream.size()}) {
        FrameReader reader;
        std::vector<std::string> payloads;
        for (std::size_t i = 0; i < stream.size(); i += step) {
            reader.feed(std::string_view(stream).substr(i, step));
            for (;;) {
                auto payload = reader.take();
                ASSERT_TRUE(payload);
                if (!*payload) break;
                payloads.push_back(std::move(**payload));
            }
        }
        ASSERT_EQ(payloads.size(), 3u);
        EXPECT_EQ(payloads[0], "one");
        EXPECT_EQ(payloads[1], "");
        EXPECT_EQ(payloads[2].size(), 70'000u);
        EXPECT_EQ(reader.pending(), 0u);
    }
}

TEST(Frame, OverLongLengthIsAnErrorForGood) {
    FrameReader reader;
    reader.feed(std::string_view("\x01\x00\x10\x00", 4));
    EXPECT_EQ(reader.take().error().code(), Errc::invalid);
    reader.feed(frame("x"));
    EXPECT_FALSE(reader.take());
}

}  // namespace
}  // namespace substrate
