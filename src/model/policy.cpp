#include "model/policy.hpp"

namespace substrate {

const char* to_string(PolicyMode mode) { return mode == PolicyMode::enforce ? "enforce" : "observe"; }

const char* to_string(UnresolvedRule rule) {
    switch (rule) {
        case UnresolvedRule::ask: return "ask";
        case UnresolvedRule::deny: return "deny";
        case UnresolvedRule::isolate: return "isolate";
    }
    return "deny";
}

const char* to_string(WorldFsMode mode) { return mode == WorldFsMode::read_only ? "read_only" : "writable"; }

const char* to_string(WorldFsIsolation isolation) {
    return isolation == WorldFsIsolation::full ? "full" : "workspace";
}

const char* to_string(NetPath path) {
    switch (path) {
        case NetPath::none: return "none";
        case NetPath::gateway: return "gateway";
        case NetPath::veth: return "veth";
    }
    return "none";
}

const char* to_string(DecisionAction action) {
    switch (action) {
        case DecisionAction::allow: return "allow";
        case DecisionAction::allow_with_restrictions: return "allow_with_restrictions";
        case DecisionAction::ask: return "ask";
        case DecisionAction::deny: return "deny";
    }
    return "deny";
}

std::optional<PolicyMode> parse_policy_mode(std::string_view text) {
    if (text == "observe") return PolicyMode::observe;
    if (text == "enforce") return PolicyMode::enforce;
    return std::nullopt;
}

std::optional<UnresolvedRule> parse_unresolved_rule(std::string_view text) {
    if (text == "ask") return UnresolvedRule::ask;
    if (text == "deny") return UnresolvedRule::deny;
    if (text == "isolate") return UnresolvedRule::isolate;
    return std::nullopt;
}

std::optional<WorldFsMode> parse_world_fs_mode(std::string_view text) {
    if (text == "writable") return WorldFsMode::writable;
    if (text == "read_only") return WorldFsMode::read_only;
    return std::nullopt;
}

std::optional<WorldFsIsolation> parse_world_fs_isolation(std::string_view text) {
    if (text == "workspace") return WorldFsIsolation::workspace;
    if (text == "full") return WorldFsIsolation::full;
    return std::nullopt;
}

std::optional<NetPath> parse_net_path(std::string_view text) {
    if (text == "none") return NetPath::none;
    if (text == "gateway") return NetPath::gateway;
    if (text == "veth") return NetPath::veth;
    return std::nullopt;
}

}  // namespace substrate
