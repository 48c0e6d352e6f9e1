#include "base/ip_address.hpp"

#include <gtest/gtest.h>

namespace substrate {
namespace {

std::string read_back(std::string_view text) {
    const auto address = IpAddress::parse(text);
    return address ? address->text() : "";
}

TEST(IpAddress, ReadsWhatItWrites) {
    for (const char* text : {"0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "1::", "2001:db8::1",
                             "2001:db8:0:1:1:1:1:1", "1:0:0:2::3", "fe80::1:0:0:1", "1:2:3:4:5:6:7:8"})
        EXPECT_EQ(read_back(text), text);
    EXPECT_EQ(read_back("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
    EXPECT_EQ(read_back("1:2:3:4:5:6:1.2.3.4"), "1:2:3:4:5:6:102:304");
    EXPECT_EQ(read_back("1:0:0:2:0:0:0:3"), "1:0:0:2::3") << "the longer run";
    EXPECT_EQ(read_back("1:0:0:2:2:0:0:3"), "1::2:2:0:0:3") << "the first of equal runs";
}

TEST(IpAddress, AMappedAddressIsTheOneItStandsFor) {
    EXPECT_EQ(read_back("::ffff:127.0.0.1"), "127.0.0.1");
    EXPECT_EQ(read_back("::FFFF:7f00:1"), "127.0.0.1");
    EXPECT_EQ(IpAddress::parse("::ffff:10.0.0.1"), IpAddress::parse("10.0.0.1"));
}

TEST(IpAddress, RefusesEverythingElse) {
    for (const char* text : {"",
                             ".",
                             "1",
                             "1.2.3",
                             "1.2.3.4.",
                             ".1.2.3.4",
                             "1.2.3.4.5",
                             "256.1.1.1",
                             "01.2.3.4",
                             "0x7f.0.0.1",
                             "1.2.3.4 ",
                             " 1.2.3.4",
                             "+1.2.3.4",
                             "2130706433",
                             "1..2.3",
                             "1.2.3.-4",
                             ":",
                             ":::",
                             "1:2",
                             "1::2::3",
                             ":1::2",
                             "1::2:",
                             "12345::",
                             "g::",
                             "1:2:3:4:5:6:7:8:9",
                             "1:2:3:4:5:6:7::8:9",
                             "1:2:3:4:5:6:7:8::",
                             "::1.2.3",
                             "::1.2.3.4.5",
                             "1.2.3.4::",
                             "fe80::1%lo",
                             "[::1]",
                             "1:2:3:4:5:6:7:1.2.3.4",
                             "::01.2.3.4"})
        EXPECT_EQ(read_back(text), "") << text;
}

TEST(IpNetwork, HoldsThePrefix) {
    const auto ten = IpNetwork::parse("10.0.0.0/8");
    ASSERT_TRUE(ten);
    EXPECT_TRUE(ten->contains(*IpAddress::parse("10.255.0.1")));
    EXPECT_TRUE(ten->contains(*IpAddress::parse("::ffff:10.1.1.1")));
    EXPECT_FALSE(ten->contains(*IpAddress::parse("11.0.0.0")));
    EXPECT_FALSE(ten->contains(*IpAddress::parse("a00::")));
    const auto odd = IpNetwork::parse("192.168.4.0/22");
    ASSERT_TRUE(odd);
    EXPECT_TRUE(odd->contains(*IpAddress::parse("192.168.7.255")));
    EXPECT_FALSE(odd->contains(*IpAddress::parse("192.168.8.0")));
    EXPECT_TRUE(IpNetwork::parse("0.0.0.0/0")->contains(*IpAddress::parse("8.8.8.8")));
    EXPECT_TRUE(IpNetwork::parse("::/0")->contains(*IpAddress::parse("1::")));
    EXPECT_EQ(IpNetwork::parse("1.2.3.4")->prefix, 32);
    EXPECT_EQ(IpNetwork::parse("::ffff:10.0.0.0/104"), ten);
    for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "/8",
                             "1::/129", "1::1/64", "::ffff:10.0.0.0/95", "10.0.0.0/8/8"})
        EXPECT_FALSE(IpNetwork::parse(text)) << text;
}

TEST(SpecialPurpose, NamesWhereNoNameShouldLead) {
    const auto purpose = [](std::string_view text) { return special_purpose(*IpAddress::parse(text)); };
    EXPECT_EQ(purpose("127.0.0.1"), "loopback");
    EXPECT_EQ(purpose("::1"), "loopback");
    EXPECT_EQ(purpose("::ffff:127.0.0.1"), "loopback");
    EXPECT_EQ(purpose("169.254.169.254"), "link-local");
    EXPECT_EQ(purpose("172.31.255.255"), "private");
    EXPECT_EQ(purpose("fd00::1"), "private");
    EXPECT_EQ(purpose("0.0.0.0"), "unspecified");
    EXPECT_EQ(purpose("64:ff9b::7f00:1"), "IPv4 translation");
    EXPECT_EQ(purpose("2002:7f00:1::"), "6to4");
    EXPECT_EQ(purpose("::127.0.0.1"), "reserved") << "IPv4-compatible";
    EXPECT_EQ(purpose("255.255.255.255"), "reserved");
    for (const char* text : {"8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00::1"})
        EXPECT_EQ(purpose(text), "") << text;
}

}  // namespace
}  // namespace substrate
