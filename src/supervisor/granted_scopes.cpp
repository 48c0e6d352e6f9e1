#include "supervisor/granted_scopes.hpp"

#include <algorithm>

#include "supervisor/network.hpp"

namespace substrate::supervisor {
namespace {

bool has(const Policy& policy, const std::string& entry) {
    const auto& allowed = policy.net.allowed;
    return allowed && (std::ranges::find(*allowed, entry) != allowed->end() ||
                       std::ranges::find(*allowed, "*") != allowed->end());
}

}  // namespace

std::vector<GrantedScope> granted_scopes(const Passage& passage, const std::string& project) {
    std::vector<GrantedScope> scopes;
    const auto add = [&](const std::string& scope, const std::string& source) {
        const bool known =
            std::ranges::any_of(scopes, [&](const auto& there) { return there.scope == scope; });
        if (!known) scopes.push_back({scope, source});
    };
    const std::string policy = "policy " + passage.policy_id;
    const ExecRequest& request = passage.request;
    // What runs before anybody has consented reaches nothing.
    for (const broker::ScopeGrantPtr& grant : passage.judgement.grants)
        if (grant->scope.kind != broker::ScopeKind::net || !passage.preview)
            add(to_string(grant->scope), "grant " + grant->id);
    if (request.fs.project_writable) add("fs.write:" + project, policy);
    for (const std::string& path : request.fs.writable) add("fs.write:" + path, policy);
    for (const std::string& path : request.fs.sockets) add("net.unix:" + path, policy);
    if (request.host_network) {
        add("net:*", policy);
        return scopes;
    }
    if (!passage.judgement.policies || passage.preview) return scopes;
    const std::vector<Policy> layers = network_layers(*passage.judgement.policies);
    for (const Policy& layer : layers)
        if (layer.net.allowed)
            for (const std::string& entry : *layer.net.allowed)
                if (std::ranges::all_of(layers, [&](const Policy& other) { return has(other, entry); }))
                    add("net:" + entry, "policy " + layer.id);
    return scopes;
}

}  // namespace substrate::supervisor
