#include "codec/base64.hpp"

#include <gtest/gtest.h>

#include <random>

namespace substrate {
namespace {

// RFC 4648, section 10.
TEST(Base64, TheExamplesOfTheStandard) {
    const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                            {"f", "Zg=="},
                                                            {"fo", "Zm8="},
                                                            {"foo", "Zm9v"},
                                                            {"foob", "Zm9vYg=="},
                                                            {"fooba", "Zm9vYmE="},
                                                            {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, text] : examples) {
        EXPECT_EQ(to_base64(plain), text);
        const auto back = from_base64(text);
        ASSERT_TRUE(back) << text;
        EXPECT_EQ(*back, plain);
    }
}

TEST(Base64, AllBytesOfEveryLengthComeBack) {
    std::mt19937 random(7);
    for (std::size_t length = 0; length < 300; ++length) {
        std::string bytes;
        for (std::size_t i = 0; i < length; ++i) bytes += static_cast<char>(random());
        const auto back = from_base64(to_base64(bytes));
        ASSERT_TRUE(back);
        EXPECT_EQ(*back, bytes);
    }
}

TEST(Base64, AppendsBehindWhatIsThere) {
    std::string out = "x:";
    append_base64(out, "foo");
    EXPECT_EQ(out, "x:Zm9v");
}

TEST(Base64, WhatNobodyWritesIsRefused) {
    for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm 9v", "Zm9-",
                             "Zh==", "Zm9=", "=m9v", "Z=9v", "Zm\xc3\xa4"})
        EXPECT_FALSE(from_base64(text)) << text;
}

}  // namespace
}  // namespace substrate
