#include "supervisor/scope_tokens.hpp"

#include <fcntl.h>

#include <array>

#include "base/text.hpp"
#include "codec/digest.hpp"
#include "codec/scope_token_json.hpp"
#include "sys/file.hpp"

namespace substrate::supervisor {
namespace {

Error refusal(const std::string& why) {
    return Error(Errc::denied, "the scope token is not accepted: " + why);
}

}  // namespace

void scrub(std::string& text) {
    volatile char* const bytes = text.data();
    for (std::size_t i = 0; i < text.size(); ++i) bytes[i] = 0;
}

ScopeTokens::ScopeTokens(const Env& env) : env_(env) {
    std::array<std::uint8_t, 32> bytes{};
    env.random(bytes);
    key_.assign(bytes.begin(), bytes.end());
}

ScopeTokens::Live::~Live() {
    scrub(text_);
    const std::scoped_lock lock(tokens_.mutex_);
    tokens_.live_.erase(span_id_);
}

std::string ScopeTokens::mac_of(const ScopeToken& token) const {
    ScopeToken rest = token;
    rest.mac.clear();
    // Members are in the order of their names, so that the same token is the same text.
    return hmac_sha256_hex(key_, dump_json(to_json(rest)));
}

std::unique_ptr<ScopeTokens::Live> ScopeTokens::issue(ScopeToken token) {
    std::string text;
    for (;; token.scopes.resize(token.scopes.size() / 2)) {
        token.mac = mac_of(token);
        text = dump_json(to_json(token)) + "\n";
        if (text.size() <= kMost || token.scopes.empty()) break;
    }
    const std::scoped_lock lock(mutex_);
    live_[token.span_id] = token.mac;
    return std::make_unique<Live>(*this, token.span_id, std::move(text));
}

Result<ScopeToken> ScopeTokens::verify(std::string_view text, std::string_view span_id) const {
    if (text.size() > kMost) return fail(refusal("it is too long"));
    const auto json = parse_json(text);
    if (!json) return fail(refusal("it is not JSON"));
    auto token = scope_token_from_json(*json);
    if (!token) return fail(refusal(printable(token.error().message())));
    // Before anything that it says is believed.
    if (!same_secret(mac_of(*token), token->mac)) return fail(refusal("this agent has not made it"));
    if (token->span_id != span_id) return fail(refusal("it is of another command"));
    if (env_.realtime_ns() >= token->expires_ns) return fail(refusal("it has expired").as(Errc::unavailable));
    const std::scoped_lock lock(mutex_);
    const auto it = live_.find(token->span_id);
    if (it == live_.end() || it->second != token->mac)
        return fail(refusal("its command has ended").as(Errc::unavailable));
    return token;
}

Result<sys::UniqueFd> scope_token_file(const std::string& text) {
    SUB_TRY_ASSIGN(const sys::UniqueFd file, sys::make_memfd("substrate-scope", text));
    return sys::open_path("/proc/self/fd/" + std::to_string(file.get()), O_RDONLY);
}

}  // namespace substrate::supervisor
