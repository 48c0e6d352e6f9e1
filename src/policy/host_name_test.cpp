#include "policy/host_name.hpp"

#include <gtest/gtest.h>

namespace substrate::policy {
namespace {

using namespace std::string_view_literals;

std::string form(std::string_view text) {
    const auto host = read_host(text);
    return host ? to_text(*host) : "refused";
}

TEST(ReadHost, GivesOneFormToOneName) {
    EXPECT_EQ(form("Example.ORG"), "example.org");
    EXPECT_EQ(form("example.org."), "example.org");
    EXPECT_EQ(form("b\xc3\xbc"
                   "cher.example"),
              "xn--bcher-kva.example");
    EXPECT_EQ(form("BU\xcc\x88"
                   "CHER.example"),
              "xn--bcher-kva.example")
        << "decomposed, upper case";
    EXPECT_EQ(form("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
    EXPECT_EQ(form("example\xe3\x80\x82org"), "example.org") << "the ideographic full stop";
    EXPECT_EQ(form("fa\xc3\x9f.de"), "xn--fa-hia.de") << "not fass.de";
    EXPECT_EQ(form("_dmarc.example.org"), "_dmarc.example.org");
    EXPECT_EQ(form("localhost"), "localhost");
    EXPECT_EQ(form("1.example"), "1.example");
    EXPECT_EQ(form(std::string(63, 'a') + ".example"), std::string(63, 'a') + ".example");
}

TEST(ReadHost, ALookAlikeIsAnotherName) {
    EXPECT_NE(form("ex\xd0\xb0mple.org"), "example.org") << "Cyrillic a";
    EXPECT_EQ(form("ex\xd0\xb0mple.org").substr(0, 4), "xn--");
}

TEST(ReadHost, ReadsAddresses) {
    EXPECT_EQ(form("127.0.0.1"), "127.0.0.1");
    EXPECT_EQ(form("[2001:DB8::1]"), "2001:db8::1");
    EXPECT_EQ(form("2001:db8::1"), "2001:db8::1");
    EXPECT_EQ(form("::ffff:127.0.0.1"), "127.0.0.1");
}

TEST(ReadHost, RefusesWhatAnotherReaderWouldReadOtherwise) {
    for (const std::string_view text : {""sv,
                                        "."sv,
                                        ".."sv,
                                        "a..b"sv,
                                        ".example.org"sv,
                                        "example.org.."sv,
                                        "exa mple.org"sv,
                                        "a\0.example"sv,
                                        "example.org\0.evil"sv,
                                        "b\xc3\xbc\0x"sv,
                                        "a\nb"sv,
                                        "a/b"sv,
                                        "user@example.org"sv,
                                        "example.org:80"sv,
                                        "127.1"sv,
                                        "2130706433"sv,
                                        "0x7f000001"sv,
                                        "0x7f.0.0.1"sv,
                                        "0177.0.0.1"sv,
                                        "127.0.0.1."sv,
                                        "example.1"sv,
                                        "example.0x1"sv,
                                        "[::1"sv,
                                        "[127.0.0.1]"sv,
                                        "[]"sv,
                                        "::1%lo"sv,
                                        "1.2.3.4.5"sv,
                                        "\xff\xfe.example"sv,
                                        "xn--\x80.example"sv,
                                        "*.example.org"sv,
                                        "%31.example"sv})
        EXPECT_EQ(form(text), "refused") << text;
    EXPECT_EQ(form(std::string(64, 'a') + ".example"), "refused");
    std::string longest;
    while (longest.size() < 254) longest += "a.";
    EXPECT_EQ(form(longest + "b"), "refused");
}

TEST(ReadHostPort, NeedsAPort) {
    const auto read = read_host_port("Example.org:443");
    ASSERT_TRUE(read);
    EXPECT_EQ(to_text(read->host), "example.org");
    EXPECT_EQ(read->port, 443);
    EXPECT_EQ(read_host_port("[::1]:80")->port, 80);
    for (const char* text : {"example.org", "example.org:", "example.org:0", "example.org:65536",
                             "example.org:+1", "example.org: 1", "::1", "::1:80", ":80", "example.org:80:80"})
        EXPECT_FALSE(read_host_port(text)) << text;
}

TEST(IsBelow, ComparesLabels) {
    EXPECT_TRUE(is_below("a.example.org", "example.org"));
    EXPECT_TRUE(is_below("a.b.example.org", "example.org"));
    EXPECT_FALSE(is_below("example.org", "example.org"));
    EXPECT_FALSE(is_below("notexample.org", "example.org"));
    EXPECT_FALSE(is_below(".example.org", "example.org"));
}

}  // namespace
}  // namespace substrate::policy
