#include "egress/client_hello.hpp"

#include <gtest/gtest.h>

#include <random>

namespace substrate::egress {
namespace {

std::string number(std::size_t value, std::size_t size) {
    std::string bytes;
    for (std::size_t i = size; i > 0; --i) bytes += static_cast<char>(value >> (8 * (i - 1)));
    return bytes;
}
std::string vector(const std::string& bytes, std::size_t size) { return number(bytes.size(), size) + bytes; }
std::string extension(std::size_t type, const std::string& value) {
    return number(type, 2) + vector(value, 2);
}
std::string server_name(const std::string& name) {
    return extension(0, vector(std::string(1, '\0') + vector(name, 2), 2));
}
std::string message(const std::string& extensions) {
    const std::string body = "\x03\x03" + std::string(32, 'r') + vector("session", 1) +
                             vector(std::string("\x13\x01", 2), 2) + vector(std::string(1, '\0'), 1) +
                             vector(extensions, 2);
    return "\x01" + vector(body, 3);
}
std::string records(const std::string& handshake, std::size_t most = 16 * 1024) {
    std::string bytes;
    for (std::size_t at = 0; at < handshake.size(); at += most)
        bytes += "\x16\x03\x01" + vector(handshake.substr(at, most), 2);
    return bytes;
}

TEST(ClientHello, SaysForWhomItIs) {
    const ClientHello hello =
        read_client_hello(records(message(extension(10, "x") + server_name("pypi.test"))) + "more");
    EXPECT_EQ(hello.reading, Reading::done);
    EXPECT_EQ(hello.server_name, "pypi.test");
    EXPECT_FALSE(hello.encrypted);
}

TEST(ClientHello, IsReadFromAsManyPiecesAsItTakes) {
    for (const std::size_t most : {1, 3, 50, 1000}) {
        const std::string bytes = records(message(server_name("pypi.test")), most);
        for (std::size_t size = 0; size < bytes.size(); ++size)
            ASSERT_EQ(read_client_hello(bytes.substr(0, size)).reading, Reading::more)
                << size << " of records of " << most;
        EXPECT_EQ(read_client_hello(bytes).server_name, "pypi.test");
    }
}

TEST(ClientHello, NoticesWhatItHides) {
    EXPECT_TRUE(read_client_hello(records(message(server_name("front.test") + extension(0xfe0d, "hidden"))))
                    .encrypted);
    EXPECT_EQ(read_client_hello(records(message(extension(10, "x")))).server_name, "");
    EXPECT_EQ(read_client_hello(records(message(extension(10, "x")))).reading, Reading::done);
}

TEST(ClientHello, RefusesTwoNames) {
    const std::string entry = std::string(1, '\0') + vector("a.test", 2);
    for (const std::string& extensions :
         {server_name("a.test") + server_name("b.test"), extension(0, vector(entry + entry, 2)),
          extension(0, vector("", 2)), extension(0, vector(std::string("\1") + vector("a", 2), 2)),
          extension(0, vector(entry, 2) + "x"), extension(0, ""), std::string("\0\0\0", 3)})
        EXPECT_EQ(read_client_hello(records(message(extensions))).reading, Reading::bad);
}

TEST(ClientHello, OtherProtocolsAreOthers) {
    for (const char* text : {"GET / HTTP/1.1", "SSH-2.0-x", "\x15\x02", "\x16\x02", "\x80\x01\x04",
                             "\x80\x2e\x01\x02", "\x19\x03"})
        EXPECT_EQ(read_client_hello(text).reading, Reading::other) << text;
    EXPECT_EQ(read_client_hello("").reading, Reading::more);
    EXPECT_EQ(read_client_hello("\x16").reading, Reading::more);
    EXPECT_EQ(read_client_hello(std::string("\x16\x03\x01\xff\xff", 5)).reading, Reading::bad);
    EXPECT_EQ(read_client_hello(std::string("\x16\x03\x01\0\0", 5)).reading, Reading::bad);
    EXPECT_EQ(read_client_hello(records("\x02" + vector("x", 3))).reading, Reading::bad);
    EXPECT_EQ(read_client_hello(records("\x01" + number(0xffffff, 3))).reading, Reading::bad);
}

TEST(ClientHello, ServersReadPastOtherRecords) {
    const std::string hello = records(message(server_name("b.test")));
    for (const std::string& before :
         {std::string("\x15\x03\x01\0\2\1\x5a", 7), std::string("\x14\x03\x01\0\1\1", 6),
          std::string("\x17\x03\x03\0\0", 5)})
        EXPECT_EQ(read_client_hello(before + hello).reading, Reading::bad);
    EXPECT_EQ(read_client_hello("\x15").reading, Reading::more);
    EXPECT_EQ(read_client_hello("\x80\x2e\x01").reading, Reading::more);
    EXPECT_EQ(read_client_hello("\x80\x2e\x01\x03\x01").reading, Reading::bad) << "the form of SSL 2";
}

TEST(ClientHello, GarbageDoesNoHarm) {
    std::mt19937 random(11);
    const std::string good = records(message(server_name("pypi.test")), 40);
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = good;
        for (int n = 0; n < 4; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
        const ClientHello hello = read_client_hello(bytes);
        ASSERT_EQ(hello.reading == Reading::bad, !hello.problem.empty());
    }
}

}  // namespace
}  // namespace substrate::egress
