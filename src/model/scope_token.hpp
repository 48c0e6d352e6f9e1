#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace substrate {

// The variable that says which of a command's descriptors holds its scope token.
inline constexpr const char* kScopeVariable = "SUBSTRATE_SCOPE_FD";

// Something that a command may use, and who says so.
struct GrantedScope {
    std::string scope;   // "net:HOST:PORT", "fs.write:PATH", "cmd:PATTERN"
    std::string source;  // "policy ID", "grant ID"
    bool operator==(const GrantedScope&) const = default;
};

// What one running command may use, in its own hands (schemas/scope_token.schema.json).
struct ScopeToken {
    std::string span_id;  // of the command: the token is good as long as it runs
    std::string session;
    std::string agent_id;
    std::vector<GrantedScope> scopes;
    std::int64_t expires_ns = 0;  // since the epoch; at the latest then
    std::string mac;              // of the agent, over all the rest
    bool operator==(const ScopeToken&) const = default;
};

}  // namespace substrate
