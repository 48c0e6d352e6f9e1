// The head of a request: what is let through can be understood in one way only. The input is a request line
// and fields, as a client sends them; the server's own parser has cut them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/http_rules.hpp"

using namespace substrate::agent;

namespace {

std::string_view cut(std::string_view& rest, char end) {
    const auto at = std::min(rest.find(end), rest.size());
    const std::string_view piece = rest.substr(0, at);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return piece;
}

void check_target(std::string_view text) {
    const auto target = split_target(text);
    if (!target) return;
    if (!target->path.starts_with('/') || target->path.contains('?')) std::abort();
    for (const std::string& part : {target->path, target->query})
        if (!std::ranges::all_of(part, [](char c) { return c > 0x20 && c < 0x7f && c != '#'; })) std::abort();
    // Read again it is the same.
    const std::string whole = target->path + (target->query.empty() ? "" : "?" + target->query);
    const auto again = split_target(whole);
    if (!again || again->path != target->path || again->query != target->query) std::abort();
}

void check_fields(const HeadFacts& facts) {
    const auto refused = check_head(facts);
    if (refused) {
        if (refused->status < 400 || refused->error.empty() || refused->detail.empty()) std::abort();
        return;
    }
    if (facts.has_origin || facts.hosts.size() > 1 || facts.content_lengths.size() > 1 ||
        facts.transfer_encodings.size() > 1)
        std::abort();
    if (!facts.transfer_encodings.empty() && (!facts.content_lengths.empty() || facts.version != 11))
        std::abort();
    for (const std::string& length : facts.content_lengths)
        if (length.empty() || length.find_first_not_of("0123456789") != std::string::npos) std::abort();
    for (const std::string& host : facts.hosts)
        if (!std::ranges::all_of(host, [](char c) { return c > 0x20 && c < 0x7f && c != '/' && c != '@'; }))
            std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::string_view line = cut(rest, '\n');
    check_target(cut(line, ' '));
    HeadFacts facts{.version = line == "HTTP/1.0" ? 10 : 11};
    while (!rest.empty()) {
        std::string_view field = cut(rest, '\n');
        const std::string_view name = cut(field, ':');
        if (name == "Host") facts.hosts.emplace_back(field);
        else if (name == "Content-Length") facts.content_lengths.emplace_back(field);
        else if (name == "Transfer-Encoding") facts.transfer_encodings.emplace_back(field);
        else if (name == "Origin") facts.has_origin = true;
    }
    check_fields(facts);
    return 0;
}
