#include "egress/dns_message.hpp"

#include <gtest/gtest.h>

#include <random>

namespace substrate::egress {
namespace {

using namespace std::string_literals;

// One question, recursion desired.
std::string query(const std::vector<std::string>& labels, int type, int klass = 1) {
    std::string bytes = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"s;
    for (const std::string& label : labels) bytes += static_cast<char>(label.size()) + label;
    bytes += '\0';
    bytes += static_cast<char>(type >> 8);
    bytes += static_cast<char>(type);
    bytes += '\0';
    bytes += static_cast<char>(klass);
    return bytes;
}
int code_of(const std::string& reply) { return static_cast<std::uint8_t>(reply.at(3)) & 0xf; }

TEST(DnsQuery, ReadsTheQuestion) {
    const auto read = DnsQuery::parse(query({"PyPI", "test"}, 1));
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->name(), "PyPI.test.");
    EXPECT_EQ(read->type(), DnsType::address4);
    EXPECT_EQ(DnsQuery::parse(query({"a"}, 28))->type(), DnsType::address6);
    EXPECT_EQ(DnsQuery::parse(query({"a"}, 65))->type(), DnsType::service);
    EXPECT_EQ(DnsQuery::parse(query({"a"}, 16))->type_text(), "TXT");
    EXPECT_NE(DnsQuery::parse(query({"a.b", "test"}, 1))->name(), "a.b.test.")
        << "a dot in a label is escaped";
    EXPECT_NE(DnsQuery::parse(query({"a\0b"s, "test"}, 1))->name().find('\\'), std::string::npos);
}

TEST(DnsQuery, AnswersWithItsOwnId) {
    const auto read = DnsQuery::parse(query({"pypi", "test"}, 1));
    ASSERT_TRUE(read);
    const std::string answer = read->addresses(std::array{*IpAddress::parse("198.18.0.7")}, 60);
    EXPECT_EQ(answer.substr(0, 2), "\x12\x34");
    EXPECT_EQ(code_of(answer), 0);
    EXPECT_EQ(answer.substr(answer.size() - 4), "\xc6\x12\0\7"s);
    EXPECT_EQ(code_of(read->refused()), 5);
    EXPECT_EQ(code_of(read->no_such_name()), 3);
    EXPECT_EQ(code_of(read->failed()), 2);
    EXPECT_EQ(code_of(read->no_data()), 0);
}

TEST(DnsQuery, RefusesWhatIsNoQuery) {
    std::string answer = query({"a"}, 1);
    answer[2] = static_cast<char>(0x81);
    EXPECT_FALSE(DnsQuery::parse(answer));
    EXPECT_EQ(DnsQuery::format_error(answer), "") << "an answer is not answered";
    EXPECT_FALSE(DnsQuery::parse(query({"a"}, 1, 3))) << "class CHAOS";
    EXPECT_FALSE(DnsQuery::parse(""));
    std::string two = query({"a"}, 1);
    two[5] = 2;
    EXPECT_FALSE(DnsQuery::parse(two));
    EXPECT_EQ(code_of(DnsQuery::format_error(two)), 1);
    std::string notify = query({"a"}, 1);
    notify[2] = 0x20;
    EXPECT_FALSE(DnsQuery::parse(notify));
    EXPECT_EQ(code_of(DnsQuery::format_error(notify)), 4);
    // A name that points at itself.
    EXPECT_FALSE(
        DnsQuery::parse("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"s));
}

TEST(DnsQuery, GarbageDoesNoHarm) {
    std::mt19937 random(5);
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = query({"example", "test"}, 1);
        for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
        if (auto read = DnsQuery::parse(bytes)) ASSERT_FALSE(read->refused().empty());
        else (void)DnsQuery::format_error(bytes);
    }
}

TEST(ReverseAddress, ReadsTheNameBackwards) {
    EXPECT_EQ(reverse_address("7.0.18.198.in-addr.arpa."), IpAddress::parse("198.18.0.7"));
    for (const char* name : {"7.0.18.in-addr.arpa.", "x.in-addr.arpa.", "a.test.", "in-addr.arpa."})
        EXPECT_FALSE(reverse_address(name)) << name;
}

TEST(ServedHost, IsBehindThePortAndTheScheme) {
    EXPECT_EQ(served_host("_8443._https.a.test."), "a.test.");
    EXPECT_EQ(served_host("a.test."), "a.test.");
    EXPECT_EQ(served_host("a._b.test."), "a._b.test.");
    EXPECT_EQ(served_host("_https."), "_https.");
    EXPECT_EQ(served_host("_https"), "_https");
    EXPECT_EQ(served_host(""), "");
}

}  // namespace
}  // namespace substrate::egress
