#include "codec/scope_token_json.hpp"

#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"

namespace substrate {
namespace {

constexpr int kVersion = 1;

}  // namespace

Json to_json(const ScopeToken& token) {
    Json object = {{"version", kVersion},
                   {"span_id", token.span_id},
                   {"session", token.session},
                   {"scopes", Json::array()},
                   {"expires", format_rfc3339(token.expires_ns)}};
    put_bytes(object, "agent_id", token.agent_id);
    for (const GrantedScope& granted : token.scopes) {
        Json item = Json::object();
        put_bytes(item, "scope", granted.scope);
        put_bytes(item, "source", granted.source);
        object["scopes"].push_back(std::move(item));
    }
    if (!token.mac.empty()) object["mac"] = token.mac;
    return object;
}

Result<ScopeToken> scope_token_from_json(const Json& value) {
    ObjectReader reader(value);
    ScopeToken token;
    int version = 0;
    for (const char* member : {"version", "span_id", "session", "agent_id", "scopes", "expires", "mac"})
        reader.require(member);
    reader.integer("version", version);
    if (version != kVersion) reader.problem("version", "is not one that is known");
    reader.string("span_id", token.span_id);
    reader.string("session", token.session);
    reader.bytes("agent_id", token.agent_id);
    reader.objects("scopes", [&](ObjectReader& item) {
        GrantedScope& granted = token.scopes.emplace_back();
        item.bytes("scope", granted.scope);
        item.bytes("source", granted.source);
    });
    reader.time("expires", token.expires_ns);
    reader.string("mac", token.mac);
    SUB_TRY(reader.finish());
    return token;
}

}  // namespace substrate
