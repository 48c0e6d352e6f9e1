#include "egress/http_requests.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.hpp"

namespace substrate::egress {
namespace {

constexpr std::size_t kLongestChunkLine = 1024, kLongestLine = 16 * 1024;
constexpr std::uint16_t kHttpPort = 80;
constexpr std::string_view kEnd = "\r\n";

bool is_token(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("!#$%&'*+-.^_`|~").contains(c);
    });
}

std::string lower(std::string_view text) {
    std::string made(text);
    std::ranges::transform(made, made.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return made;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

std::optional<std::uint64_t> number(std::string_view digits, int base) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

// Takes the next line off; the head ends with an empty one.
std::string_view take_line(std::string_view& head) {
    const std::size_t end = head.find(kEnd);
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + kEnd.size());
    return line;
}

}  // namespace

// Generous in what counts as HTTP, because servers are: empty lines before the request, any method, small
// letters. How strictly such a line is then read is another matter.
Reading begins_as_http(std::string_view bytes) {
    const std::size_t start = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
    const std::size_t line_end = bytes.find('\n', start);
    const std::string_view line = bytes.substr(start, line_end - start);
    const std::string_view method = line.substr(0, line.find_first_of(" \t\r"));
    const auto no_text = [](char c) { return (c >= 0 && c < ' ' && c != '\t' && c != '\r') || c == 0x7f; };
    if (!line.empty() && (!is_token(method) || std::ranges::any_of(line, no_text))) return Reading::other;
    if (line_end == std::string_view::npos) return bytes.size() > kLongestLine ? Reading::bad : Reading::more;
    const std::string low = lower(line);
    if (low.contains(" http/2")) return Reading::bad;
    // Without a version it is HTTP/0.9, which names a host in this form only.
    const bool absolute = line.starts_with("GET ") && low.contains("://");
    return low.contains("http/") || absolute ? Reading::done : Reading::other;
}

// What the fields of a head say of its message.
struct HttpRequests::Head {
    std::optional<std::string> host;
    std::optional<std::uint64_t> length;
    bool chunked = false;
    std::optional<std::string> upgrade;

    std::string read(std::string_view line);
};

std::string HttpRequests::Head::read(std::string_view line) {
    const std::size_t colon = line.find(':');
    // Also a line that goes on the one before, and white space before the colon.
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
        return "a broken field in a request";
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (std::ranges::any_of(value, [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; }))
        return "a control character in a request";
    if (name == "host") {
        if (host) return "two Host fields";
        host = value;
    } else if (name == "content-length") {
        const auto size = number(value, 10);
        if (length || !size) return "no single Content-Length";
        length = size;
    } else if (name == "transfer-encoding") {
        if (chunked || lower(value) != "chunked") return "a Transfer-Encoding that is not chunked";
        chunked = true;
    } else if (name == "upgrade") {
        // Of several protocols the server picks one.
        upgrade = upgrade ? "several" : lower(value);
    }
    return {};
}

std::string HttpRequests::check_host(std::string_view authority) const {
    std::string_view host = authority;
    std::uint16_t port = kHttpPort;
    const std::size_t colon = authority.rfind(':');
    const bool has_port =
        colon != std::string_view::npos && (!authority.starts_with('[') || authority[colon - 1] == ']');
    if (has_port) {
        const auto read = number(authority.substr(colon + 1), 10);
        if (!read || *read == 0 || *read > 65535) return "a Host with a port that is none";
        port = static_cast<std::uint16_t>(*read);
        host = authority.substr(0, colon);
    }
    const auto named = policy::read_host(host);
    if (!named) return "a Host that names none";
    if (*named != host_) return "a request for " + policy::to_text(*named);
    // A client that was told another port in the URL says so; one that says nothing means port 80.
    if (port != port_) return "a request for port " + std::to_string(port);
    return {};
}

std::string HttpRequests::read_target(std::string_view method, std::string_view target) const {
    if (method == "CONNECT") return "CONNECT: a way to somewhere else";
    if (target.starts_with('/') || (method == "OPTIONS" && target == "*")) return {};
    constexpr std::string_view kScheme = "http://";
    if (lower(target.substr(0, kScheme.size())) != kScheme) return "a request target of another form";
    const std::string_view authority = target.substr(kScheme.size());
    return check_host(authority.substr(0, authority.find_first_of("/?#")));
}

std::string HttpRequests::read_head(std::string_view head) {
    std::string_view rest = head;
    const std::string_view line = take_line(rest);
    if (line.starts_with("PRI * HTTP/2")) return "a change to HTTP/2, whose requests are not read";
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) return "a broken request line";
    const std::string_view method = line.substr(0, first), version = line.substr(last + 1);
    const std::string_view target = line.substr(first + 1, last - first - 1);
    if (!is_token(method) || target.contains(' ') || (version != "HTTP/1.1" && version != "HTTP/1.0"))
        return "a broken request line";
    if (std::string problem = read_target(method, target); !problem.empty()) return problem;
    Head read;
    while (!rest.empty()) {
        const std::string_view field = take_line(rest);
        if (field.empty()) break;
        if (std::string problem = read.read(field); !problem.empty()) return problem;
    }
    if (!read.host) return "a request without Host";
    if (std::string problem = check_host(*read.host); !problem.empty()) return problem;
    if (read.chunked && read.length) return "both Content-Length and Transfer-Encoding";
    if (read.chunked && version == "HTTP/1.0") return "a Transfer-Encoding in HTTP/1.0";
    left_ = read.length.value_or(0);
    const bool has_body = read.chunked || left_ > 0;
    // A WebSocket carries no requests. Of another protocol nobody knows, and what goes on has to be HTTP/1.
    // The first answer of a connection is the server's word; later ones can hold what the client chose.
    const bool may_change = read.upgrade == "websocket" && !has_body && !any_request_;
    any_request_ = true;
    if (read.chunked) state_ = State::chunk_size;
    else if (left_ > 0) state_ = State::body;
    else state_ = may_change ? State::asked_to_change : State::head;
    return {};
}

std::string HttpRequests::read_chunk_size(std::string_view line) {
    const auto size = number(trimmed(line.substr(0, line.find(';'))), 16);
    if (!size) return "a broken chunk";
    left_ = *size;
    state_ = *size == 0 ? State::trailer : State::chunk;
    return {};
}

HttpRequests::Step HttpRequests::take(std::string_view bytes) {
    Step step;
    while (step.pass < bytes.size() && step.problem.empty()) {
        const std::string_view rest = bytes.substr(step.pass);
        if (state_ == State::changed) {
            step.pass = bytes.size();
        } else if (state_ == State::asked_to_change) {
            break;
        } else if (state_ == State::body || state_ == State::chunk) {
            const auto some = std::min<std::uint64_t>(left_, rest.size());
            step.pass += some;
            left_ -= some;
            if (left_ == 0) state_ = state_ == State::chunk ? State::chunk_end : State::head;
        } else if (state_ == State::head) {
            const std::size_t end = rest.find("\r\n\r\n");
            // A line that ends otherwise ends for some readers only.
            const std::string_view head = rest.substr(0, end == std::string_view::npos ? end : end + 4);
            for (std::size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1))
                if (at == 0 || head[at - 1] != '\r')
                    step.problem = "a line of a request that ends with LF alone";
            if (!step.problem.empty()) break;
            if (end == std::string_view::npos) {
                const std::size_t line_end = head.find(kEnd);
                // Of HTTP/0.9 nothing more would come.
                if (line_end != std::string_view::npos && !head.substr(0, line_end).contains(" HTTP/"))
                    step.problem = "a broken request line";
                if (rest.size() > kLongestHead) step.problem = "a request head of more than 64 KiB";
                break;
            }
            step.problem = read_head(head);
            if (step.problem.empty()) step.pass += head.size();
        } else {
            const std::size_t end = rest.find(kEnd);
            if (end == std::string_view::npos) {
                if (rest.size() > kLongestChunkLine) step.problem = "a broken chunk";
                break;
            }
            const std::string_view line = rest.substr(0, end);
            if (line.contains('\n')) step.problem = "a broken chunk";
            else if (state_ == State::chunk_size) step.problem = read_chunk_size(line);
            else if (state_ == State::chunk_end) {
                if (!line.empty()) step.problem = "a broken chunk";
                state_ = State::chunk_size;
            } else if (line.empty()) state_ = State::head;
            if (step.problem.empty()) step.pass += end + kEnd.size();
        }
    }
    return step;
}

void HttpRequests::answer(std::string_view bytes) {
    state_ = bytes.starts_with("HTTP/1.1 101") ? State::changed : State::head;
}

}  // namespace substrate::egress
