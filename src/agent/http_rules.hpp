#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace substrate::agent {

// What the rules about a request's head look at.
struct HeadFacts {
    int version = 11;  // 10 or 11
    std::vector<std::string> hosts;
    std::vector<std::string> content_lengths;
    std::vector<std::string> transfer_encodings;
    bool has_origin = false;
    std::vector<std::string> authorizations = {};
    std::string authority = {};  // of a target in absolute-form
};

struct HeadProblem {
    int status = 400;
    std::string error;
    std::string detail;
    std::string challenge = {};  // for WWW-Authenticate
};

// Why a request with this head is not served: two readers could understand it differently
// (RFC 9112, sections 3.2 and 6.3), or a web page has caused it. nullopt: nothing.
std::optional<HeadProblem> check_head(const HeadFacts& facts);

// What a request must show where others than the account can connect.
struct Access {
    std::string host;   // our address as a Host field has it: "127.0.0.1:8080", "[::1]:8080"
    std::string token;  // the only bearer of it is let in (RFC 6750)
};

// Why such a request is not served: it is meant for another host, as that of a web page that has brought its
// name to lead here, or does not come from whom the token was given to. The token is in no answer.
std::optional<HeadProblem> check_access(const HeadFacts& facts, const Access& access);

// What the head of an upgrade to a WebSocket says, each field as often as it came.
struct HandshakeFacts {
    std::vector<std::string> versions, keys;  // Sec-WebSocket-Version, Sec-WebSocket-Key
    bool more_follows = false;                // bytes behind the head
};

// Why no WebSocket begins (RFC 6455, section 4.2.1). nullopt: one does.
std::optional<HeadProblem> check_handshake(const HandshakeFacts& facts);

// True for what may stand in a Host field (RFC 9110, section 7.2): nothing, a name or an
// address, a port behind it.
bool is_host(std::string_view text);

struct Target {
    std::string path;
    std::string query;
    std::string authority = {};  // of absolute-form
};
// Of origin-form and absolute-form (RFC 9112, section 3.2); nullopt for the other forms, and for
// bytes that no target has.
std::optional<Target> split_target(std::string_view target);

}  // namespace substrate::agent
