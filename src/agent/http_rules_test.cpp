#include "agent/http_rules.hpp"

#include <gtest/gtest.h>

namespace substrate::agent {
namespace {

int status_of(const HeadFacts& facts) {
    const auto problem = check_head(facts);
    return problem ? problem->status : 0;
}

TEST(HttpRules, OneValidHost) {
    EXPECT_EQ(status_of({.hosts = {"localhost"}}), 0);
    EXPECT_EQ(status_of({.hosts = {}}), 400);
    EXPECT_EQ(status_of({.version = 10, .hosts = {}}), 0);
    EXPECT_EQ(status_of({.hosts = {"a", "a"}}), 400);
    EXPECT_EQ(status_of({.version = 9, .hosts = {"a"}}), 400);
    for (const char* host : {"", "localhost", "a.b-c:80", "[::1]", "[::1]:8080", "127.0.0.1:", "a%20b"})
        EXPECT_TRUE(is_host(host)) << host;
    for (const char* host :
         {"a b", "a/b", "a@b", "[::1", "[]", "[g::]", "a:b", "a:1234567", "a:80:80", "\xc3\xa4"})
        EXPECT_FALSE(is_host(host)) << host;
}

TEST(HttpRules, OneReadingOfTheLength) {
    EXPECT_EQ(status_of({.hosts = {"a"}, .content_lengths = {"1"}}), 0);
    EXPECT_EQ(status_of({.hosts = {"a"}, .content_lengths = {"1", "1"}}), 400);
    for (const char* length : {"", "1, 1", "+1", "0x1", "1 1"})
        EXPECT_EQ(status_of({.hosts = {"a"}, .content_lengths = {length}}), 400) << length;
    EXPECT_EQ(status_of({.hosts = {"a"}, .content_lengths = {"1"}, .transfer_encodings = {"chunked"}}), 400);
    EXPECT_EQ(status_of({.hosts = {"a"}, .transfer_encodings = {"Chunked"}}), 0);
    EXPECT_EQ(status_of({.hosts = {"a"}, .transfer_encodings = {"gzip, chunked"}}), 501);
    EXPECT_EQ(status_of({.hosts = {"a"}, .transfer_encodings = {"chunked", "chunked"}}), 501);
    EXPECT_EQ(status_of({.version = 10, .hosts = {"a"}, .transfer_encodings = {"chunked"}}), 400);
}

TEST(HttpRules, OnlyTheBearerOfTheTokenIsLetIn) {
    const Access access{.host = "127.0.0.1:8080", .token = "abc"};
    const auto checked = [&](const HeadFacts& facts) {
        const auto problem = check_access(facts, access);
        return problem ? std::to_string(problem->status) + " " + problem->challenge : "";
    };
    for (const char* good : {"Bearer abc", "bearer abc", "BEARER abc"})
        EXPECT_EQ(checked({.hosts = {"127.0.0.1:8080"}, .authorizations = {good}}), "") << good;
    EXPECT_EQ(checked({.hosts = {"LocalHost:8080"}, .authorizations = {"Bearer abc"}}), "");
    EXPECT_EQ(checked({.hosts = {"localhost:8080"}}), "401 Bearer");
    EXPECT_EQ(checked({.hosts = {"localhost:8080"}, .authorizations = {"Bearer abc", "Bearer abc"}}),
              "400 Bearer error=\"invalid_request\"");
    for (const char* wrong :
         {"", "Bearer", "Bearer ", "Bearer  abc", "Bearer abd", "Bearer ab", "Bearer abc ", "Bearer abcd",
          "Bearer ABC", "Bearer abc, Bearer abc", "Basic abc", "abc", "Bearer\tabc"}) {
        const auto problem = check_access({.hosts = {"localhost:8080"}, .authorizations = {wrong}}, access);
        ASSERT_TRUE(problem) << wrong;
        EXPECT_EQ(problem->status, 401) << wrong;
        EXPECT_EQ(problem->detail.find("abc"), std::string::npos) << wrong;
    }
}

TEST(HttpRules, WhereOthersCanConnectTheHostIsOurs) {
    const Access access{.host = "[::1]:8080", .token = "abc"};
    const auto status = [&](std::vector<std::string> hosts, std::string authority = {}) {
        const auto problem = check_access(
            {.hosts = std::move(hosts), .authorizations = {"Bearer abc"}, .authority = std::move(authority)},
            access);
        return problem ? problem->status : 0;
    };
    EXPECT_EQ(status({"[::1]:8080"}), 0);
    EXPECT_EQ(status({"localhost:8080"}), 0);
    for (const char* other : {"", "localhost", "localhost:80", "[::1]", "127.0.0.1:8080", "evil.test:8080",
                              "localhost.evil.test:8080", "localhost:80800"})
        EXPECT_EQ(status({other}), 421) << other;
    EXPECT_EQ(status({}), 400);
    EXPECT_EQ(status({"localhost:8080"}, "localhost:8080"), 0);
    EXPECT_EQ(status({"localhost:8080"}, "evil.test:8080"), 421);
}

TEST(HttpRules, Handshakes) {
    const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
    const auto status = [](const HandshakeFacts& facts) {
        const auto problem = check_handshake(facts);
        return problem ? problem->status : 0;
    };
    EXPECT_EQ(status({.versions = {"13"}, .keys = {key}}), 0);
    EXPECT_EQ(status({.versions = {"13"}, .keys = {key}, .more_follows = true}), 400);
    EXPECT_EQ(status({.versions = {"13"}, .keys = {}}), 400);
    EXPECT_EQ(status({.versions = {"13"}, .keys = {key, key}}), 400);
    EXPECT_EQ(status({.versions = {"13"}, .keys = {"c2hvcnQ="}}), 400);
    EXPECT_EQ(status({.versions = {}, .keys = {key}}), 426);
    EXPECT_EQ(status({.versions = {"13", "13"}, .keys = {key}}), 426);
    EXPECT_EQ(status({.versions = {"12"}, .keys = {key}}), 426);
}

TEST(HttpRules, NoWebPages) { EXPECT_EQ(status_of({.hosts = {"a"}, .has_origin = true}), 403); }

TEST(HttpRules, Targets) {
    const auto split = [](const char* text) {
        const auto target = split_target(text);
        return target ? target->path + "|" + target->query : "refused";
    };
    EXPECT_EQ(split("/v1/gc"), "/v1/gc|");
    EXPECT_EQ(split("/a?b?c"), "/a|b?c");
    EXPECT_EQ(split("http://localhost/a?b"), "/a|b");
    EXPECT_EQ(split("HTTP://localhost"), "/|");
    EXPECT_EQ(split("http://x?q"), "/|q");
    for (const char* text : {"", "*", "localhost:80", "https://x/", "http://a@b/", "http:///", "/a#b",
                             "/\x01", "/\xc3\xa4", "a"})
        EXPECT_EQ(split(text), "refused") << text;
}

}  // namespace
}  // namespace substrate::agent
