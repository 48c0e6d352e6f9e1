#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <string>

#include "agent/stream_link.hpp"

// Beside http_server.cpp the only place with Boost; nothing else may include this.
namespace substrate::agent {

struct WebSocketLimits {
    std::size_t message_bytes = 1 << 20;
    std::int64_t first_ms = 30'000;  // until the first message
    std::int64_t write_ms = 60'000;  // for one message that we send
    std::int64_t idle_ms = 30'000;   // without anything from the client, pongs included, twice
};

// Speaks WebSocket (RFC 6455) on a connection whose last request, `head`, asked for it, until the connection
// is of no more use. The first message goes to `begin`, with the link that carries everything after it.
// In the thread of the connection's executor.
boost::asio::awaitable<void> serve_web_socket(
    boost::beast::basic_stream<boost::asio::generic::stream_protocol>& stream,
    boost::beast::http::request<boost::beast::http::string_body> head, WebSocketLimits limits,
    std::function<void(std::shared_ptr<StreamLink>, StreamMessage)> begin);

}  // namespace substrate::agent
