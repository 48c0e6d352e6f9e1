#include "egress/http_requests.hpp"

#include <gtest/gtest.h>

namespace substrate::egress {
namespace {

HttpRequests watch(std::uint16_t port = 80) { return {policy::DomainName{"a.test"}, port}; }

std::string problem(std::string_view bytes, std::uint16_t port = 80) {
    HttpRequests requests = watch(port);
    return requests.take(bytes).problem;
}

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

TEST(BeginsAsHttp, TellsProtocolsApart) {
    EXPECT_EQ(begins_as_http("GET / HTTP/1.1\r\n"), Reading::done);
    EXPECT_EQ(begins_as_http("PRI * HTTP/2.0\r\n\r\nSM"), Reading::bad);
    EXPECT_EQ(begins_as_http("GE"), Reading::more);
    EXPECT_EQ(begins_as_http("EHLO a.test\r\n"), Reading::other);
    EXPECT_EQ(begins_as_http("SSH-2.0-OpenSSH\r\n"), Reading::other);
    EXPECT_EQ(begins_as_http(std::string("\0\0", 2)), Reading::other);
    EXPECT_EQ(begins_as_http("GET " + std::string(20'000, 'a')), Reading::bad);
    EXPECT_EQ(begins_as_http("get http://b.test/x\r\n"), Reading::other) << "a key of memcached";
    EXPECT_EQ(begins_as_http("*1\r\n$4\r\nPING\r\n"), Reading::other);
    EXPECT_EQ(begins_as_http("A\x01"), Reading::other);
}

TEST(BeginsAsHttp, KnowsWhatLenientServersTakeForARequest) {
    for (const std::string& bytes :
         {std::string("\r\n\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n"), std::string("\nGET / HTTP/1.1\r\n"),
          std::string("get / HTTP/1.1\r\n"), std::string("GET / http/1.1\r\n"),
          std::string("GET\t/\tHTTP/1.1\r\n"), std::string("X-") + std::string(40, 'a') + " / HTTP/1.1\r\n",
          std::string("GET / HTTP/1.1\n"), std::string("GET http://b.test/\r\n"),
          std::string("GET / HTTP/1.1\rHost: b.test\r\n")})
        EXPECT_EQ(begins_as_http(bytes), Reading::done) << bytes;
    EXPECT_NE(problem("\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n"), "");
    EXPECT_NE(problem("get / HTTP/1.1\r\nHost: b.test\r\n\r\n"), "");
    EXPECT_EQ(problem("GET http://b.test/\r\n"), "a broken request line");
    EXPECT_EQ(begins_as_http("\r\n"), Reading::more);
    EXPECT_EQ(begins_as_http("HELO"), Reading::more);
}

TEST(HttpRequests, LetsRequestsForTheHostPass) {
    for (const std::string_view bytes :
         {kGet, std::string_view("GET http://A.test/x HTTP/1.1\r\nhost:a.test:80\r\n\r\n"),
          std::string_view("OPTIONS * HTTP/1.1\r\nHost: a.test.\r\n\r\n"),
          std::string_view("POST / HTTP/1.0\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc")}) {
        HttpRequests requests = watch();
        const auto step = requests.take(bytes);
        EXPECT_EQ(step.problem, "") << bytes;
        EXPECT_EQ(step.pass, bytes.size());
    }
    EXPECT_EQ(problem("GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n", 8080), "");
}

TEST(HttpRequests, LooksAtEveryRequestOfAConnection) {
    const std::string other = "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n";
    EXPECT_EQ(problem(std::string(kGet) + other), "a request for b.test");
    EXPECT_EQ(problem("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello" + other),
              "a request for b.test");
    EXPECT_EQ(problem("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "5;x=y\r\nhello\r\n0\r\nTrailer: x\r\n\r\n" +
                      other),
              "a request for b.test");
    // What looks like a request in a body is none.
    const std::string body =
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: " + std::to_string(other.size()) + "\r\n\r\n" +
        other;
    EXPECT_EQ(problem(body + std::string(kGet)), "");
}

TEST(HttpRequests, ReadsAnyPieces) {
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n" +
        std::string(kGet);
    HttpRequests requests = watch();
    std::string held, passed;
    for (const char c : bytes) {
        held += c;
        const auto step = requests.take(held);
        ASSERT_EQ(step.problem, "");
        passed += held.substr(0, step.pass);
        held.erase(0, step.pass);
    }
    EXPECT_EQ(passed, bytes);
}

TEST(HttpRequests, RefusesWhatTwoReadersReadTwoWays) {
    const std::string start = "POST / HTTP/1.1\r\nHost: a.test\r\n";
    for (const std::string& bytes :
         {std::string("GET / HTTP/1.1\r\n\r\n"),
          start + "Host: a.test\r\n\r\n",
          start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
          start + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          start + "Content-Length: +1\r\n\r\n",
          start + "Content-Length: 1, 1\r\n\r\n",
          start + "Transfer-Encoding: identity\r\n\r\n",
          start + "Transfer-Encoding: chunked, chunked\r\n\r\n",
          start + "Transfer-Encoding : chunked\r\n\r\n",
          start + " folded: x\r\n\r\n",
          start + std::string("a\0b: x\r\n\r\n", 10),
          start + "A: b\rHost: b.test\r\n\r\n",
          std::string("GET / HTTP/1.1\nHost: a.test\n\n"),
          start + "A: b\nHost: b.test\r\n\r\n",
          std::string("GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n"),
          std::string("CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("GET http://a.test@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nHost: a.test:443\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nHost: a.test:x\r\n\r\n"),
          std::string("GET / HTTP/1.1\r\nHost: \r\n\r\n"),
          start + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
          start + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
          start + "Transfer-Encoding: chunked\r\n\r\n" + std::string(2000, '1')})
        EXPECT_NE(problem(bytes), "") << bytes;
    EXPECT_NE(problem("GET / HTTP/1.1\r\nHost: a.test\r\nA: " + std::string(70'000, 'a')), "");
}

TEST(HttpRequests, AWebSocketNeedsTheServersWord) {
    const std::string ask = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\n\r\n";
    HttpRequests requests = watch();
    auto step = requests.take(ask + "frames");
    EXPECT_EQ(step.pass, ask.size());
    EXPECT_TRUE(requests.waits_for_answer());
    requests.answer("HTTP/1.1 101 Switching");
    EXPECT_EQ(requests.take("frames").pass, 6U);

    for (const std::string_view answer : {"HTTP/1.1 200 OK", "HTTP/1.", "", "HTTP/1.0 101 "}) {
        HttpRequests refused = watch();
        (void)refused.take(ask);
        refused.answer(answer);
        EXPECT_NE(refused.take("GET / HTTP/1.1\r\nHost: b.test\r\n\r\n").problem, "") << answer;
    }
}

TEST(HttpRequests, WhatFollowsAnyOtherChangeHasToBeHttp) {
    const std::string ask = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: ";
    for (const std::string& head :
         {ask + "h2c\r\n\r\n", ask + "websocket, h2c\r\n\r\n", ask + "websocket\r\nUpgrade: h2c\r\n\r\n",
          ask + "TLS/1.2\r\n\r\n", ask + "websocket\r\nContent-Length: 1\r\n\r\nx",
          // An earlier answer, which may hold anything, could be taken for the server's word.
          std::string(kGet) + ask + "websocket\r\n\r\n"}) {
        HttpRequests requests = watch();
        EXPECT_EQ(requests.take(head).pass, head.size()) << head;
        EXPECT_FALSE(requests.waits_for_answer()) << head;
        EXPECT_EQ(requests.take("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").problem,
                  "a change to HTTP/2, whose requests are not read");
    }
}

}  // namespace
}  // namespace substrate::egress
