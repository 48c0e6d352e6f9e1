#include "agent/http_rules.hpp"

#include <algorithm>

#include "codec/digest.hpp"

namespace substrate::agent {
namespace {

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same_word(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

HeadProblem bad(std::string error, std::string detail) { return {400, std::move(error), std::move(detail)}; }

}  // namespace

bool is_host(std::string_view text) {
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos || end == 1) return false;
        const std::string_view address = text.substr(1, end - 1);
        if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
        text.remove_prefix(end + 1);
    } else {
        const auto end = std::min(text.find(':'), text.size());
        const auto allowed = [](char c) {
            return is_alnum(c) || std::string_view("-._~%!$&'()*+,;=").find(c) != std::string_view::npos;
        };
        if (!std::ranges::all_of(text.substr(0, end), allowed)) return false;
        text.remove_prefix(end);
    }
    if (text.empty()) return true;
    return text.front() == ':' && text.size() <= 6 &&
           text.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

std::optional<HeadProblem> check_head(const HeadFacts& facts) {
    if (facts.version != 10 && facts.version != 11)
        return bad("bad_request", "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (facts.hosts.size() > 1) return bad("bad_host", "there is more than one Host field");
    if (facts.hosts.empty() && facts.version == 11) return bad("bad_host", "the Host field is missing");
    if (!facts.hosts.empty() && !is_host(facts.hosts.front()))
        return bad("bad_host", "the Host field holds no host");
    if (facts.content_lengths.size() > 1)
        return bad("bad_length", "there is more than one Content-Length field");
    if (!facts.content_lengths.empty() &&
        (facts.content_lengths.front().empty() ||
         facts.content_lengths.front().find_first_not_of("0123456789") != std::string::npos))
        return bad("bad_length", "the Content-Length field holds no number");
    if (!facts.transfer_encodings.empty()) {
        if (!facts.content_lengths.empty())
            return bad("bad_length", "there are both Content-Length and Transfer-Encoding");
        if (facts.version == 10) return bad("bad_length", "HTTP/1.0 knows no Transfer-Encoding");
        if (facts.transfer_encodings.size() > 1 || !same_word(facts.transfer_encodings.front(), "chunked"))
            return HeadProblem{501, "bad_length", "no Transfer-Encoding but chunked is understood"};
    }
    if (facts.has_origin) return HeadProblem{403, "origin", "requests of web pages are not served here"};
    return std::nullopt;
}

std::optional<HeadProblem> check_access(const HeadFacts& facts, const Access& access) {
    if (facts.hosts.size() != 1) return bad("bad_host", "one Host field is needed here");
    const std::string by_name = "localhost" + access.host.substr(access.host.rfind(':'));
    const auto is_ours = [&](std::string_view host) {
        return same_word(host, access.host) || same_word(host, by_name);
    };
    if (!is_ours(facts.hosts.front()) || (!facts.authority.empty() && !is_ours(facts.authority)))
        return HeadProblem{421, "bad_host", "this is " + access.host + ", and no other host"};
    if (facts.authorizations.size() > 1)
        return HeadProblem{400, "unauthorized", "there is more than one Authorization field",
                           "Bearer error=\"invalid_request\""};
    if (facts.authorizations.empty())
        return HeadProblem{401, "unauthorized", "the Authorization field with the bearer token is missing",
                           "Bearer"};
    std::string_view given = facts.authorizations.front();
    static constexpr std::string_view kScheme = "Bearer ";
    const bool bearer = given.size() > kScheme.size() && same_word(given.substr(0, kScheme.size()), kScheme);
    if (bearer) given.remove_prefix(kScheme.size());
    if (!bearer || !same_secret(given, access.token))
        return HeadProblem{401, "unauthorized", "that is not the bearer token of this agent",
                           "Bearer error=\"invalid_token\""};
    return std::nullopt;
}

std::optional<HeadProblem> check_handshake(const HandshakeFacts& facts) {
    constexpr std::size_t kKeySize = 24;  // 16 bytes in base64
    if (facts.versions.size() != 1 || facts.versions.front() != "13")
        return HeadProblem{426, "bad_handshake",
                           "one Sec-WebSocket-Version field is needed here, and it is 13"};
    if (facts.keys.size() != 1 || facts.keys.front().size() != kKeySize ||
        !facts.keys.front().ends_with("=="))
        return bad("bad_handshake", "one Sec-WebSocket-Key field is needed, with 16 bytes in base64");
    if (facts.more_follows)
        return bad("bad_handshake", "frames are sent when the WebSocket has begun, and not before");
    return std::nullopt;
}

std::optional<Target> split_target(std::string_view target) {
    std::string authority;
    const auto printable = [](char c) { return c > 0x20 && c < 0x7f && c != '#'; };
    if (!std::ranges::all_of(target, printable)) return std::nullopt;
    if (!target.starts_with('/')) {
        if (target.size() < 7 || !same_word(target.substr(0, 7), "http://")) return std::nullopt;
        target.remove_prefix(7);
        const auto slash = std::min(target.find_first_of("/?"), target.size());
        authority = target.substr(0, slash);
        if (authority.empty() || !is_host(authority)) return std::nullopt;
        target.remove_prefix(slash);
    }
    const auto mark = std::min(target.find('?'), target.size());
    Target split{.path = std::string(target.substr(0, mark)), .query = {}, .authority = std::move(authority)};
    if (split.path.empty()) split.path = "/";
    if (mark < target.size()) split.query = target.substr(mark + 1);
    return split;
}

}  // namespace substrate::agent
