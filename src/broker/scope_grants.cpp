#include "broker/scope_grants.hpp"

#include <algorithm>
#include <cstring>

#include "base/path_pattern.hpp"
#include "base/paths.hpp"
#include "base/text.hpp"
#include "model/policy.hpp"
#include "policy/compiled_policy.hpp"
#include "policy/host_name.hpp"

namespace substrate::broker {
namespace {

constexpr std::string_view kNet = "net:", kWrite = "fs.write:", kCommand = "cmd:";

std::unexpected<Error> invalid(std::string_view text, const std::string& why) {
    return fail({Errc::invalid, "the scope '" + printable(text) + "' " + why});
}

Result<Scope> read_net(std::string_view text, std::string_view value) {
    const auto to = policy::read_host_port(value);
    if (!to) return invalid(text, "names no HOST:PORT: " + printable(to.error().message()));
    std::string host = policy::to_text(to->host);
    if (std::holds_alternative<IpAddress>(to->host) && host.contains(':')) host = "[" + host + "]";
    return Scope{ScopeKind::net, host + ":" + std::to_string(to->port)};
}

Result<Scope> read_write(std::string_view text, std::string_view value, std::string_view project) {
    constexpr std::string_view kProject = "$PROJECT";
    if (value.starts_with(kProject) && (value.size() == kProject.size() || value[kProject.size()] == '/'))
        value.remove_prefix(std::min(value.size(), kProject.size() + 1));
    else if (value.empty()) return invalid(text, "names no path");
    if (value.contains('\0') || has_dot_dot(value))
        return invalid(text, "names a path with a NUL or with '..'");
    std::string path(value);
    if (!path.starts_with('/')) path = std::string(project) + "/" + path;
    path = normalized(path);
    if (!is_within(path, std::string(project)))
        return invalid(text, "is outside of the project: worlds bring home what is written in it only");
    return Scope{ScopeKind::fs_write, std::move(path)};
}

// As a policy's approval.auto_approve, and nothing else.
Result<std::string> compile(const std::string& pattern, const policy::PatternValues& values) {
    Policy policy;
    policy.id = "grant";
    policy.mode = PolicyMode::enforce;
    policy.commands.unresolved = UnresolvedRule::deny;
    policy.approval.require_all = true;
    policy.approval.auto_approve = {pattern};
    policy.allow_shell_operators = false;
    return policy::compile_policy(policy, values);
}

Result<Scope> read_command(std::string_view text, std::string_view value,
                           const policy::PatternValues& values) {
    const auto stages = policy::parse_pattern(value, values);
    if (!stages) return invalid(text, "holds no pattern of commands: " + printable(stages.error().message()));
    if (stages->size() != 1) return invalid(text, "is a pipeline: ask for its commands");
    const std::string program(value.substr(0, value.find_first_of(" \t")));
    if (!policy::is_literal(program)) return invalid(text, "is to name a program, without a wildcard");
    if (const auto compiled = compile(std::string(value), values); !compiled)
        return invalid(text, printable(compiled.error().message()));
    return Scope{ScopeKind::cmd, std::string(value)};
}

}  // namespace

std::string to_string(const Scope& scope) {
    switch (scope.kind) {
        case ScopeKind::net: return std::string(kNet) + scope.value;
        case ScopeKind::fs_write: return std::string(kWrite) + scope.value;
        case ScopeKind::cmd: return std::string(kCommand) + scope.value;
    }
    return {};
}

Result<Scope> read_scope(std::string_view text, const policy::PatternValues& values) {
    if (text.starts_with(kNet)) return read_net(text, text.substr(kNet.size()));
    if (text.starts_with(kWrite)) return read_write(text, text.substr(kWrite.size()), values.project);
    if (text.starts_with(kCommand)) return read_command(text, text.substr(kCommand.size()), values);
    return invalid(text, "is none: net:HOST:PORT, fs.write:PATH or cmd:PATTERN");
}

Result<> ScopeGrants::keep(ScopeGrant grant) {
    if (grant.scope.kind == ScopeKind::cmd) {
        SUB_TRY_ASSIGN(grant.compiled, compile(grant.scope.value, {.project = grant.project, .home = home_}));
    }
    (void)expire();
    const std::scoped_lock lock(mutex_);
    std::erase_if(grants_, [&](const ScopeGrantPtr& there) {
        return there->agent_id == grant.agent_id && there->project == grant.project &&
               there->policy_hash == grant.policy_hash && there->scope == grant.scope;
    });
    if (grants_.size() >= kMost)
        return fail(
            Error(Errc::conflict, "too many scopes are granted already").hint("wait until some expire"));
    grants_.push_back(std::make_shared<const ScopeGrant>(std::move(grant)));
    count_ = grants_.size();
    return {};
}

std::vector<ScopeGrantPtr> ScopeGrants::of(const std::string& agent_id, const std::string& project,
                                           const std::string& policy_hash) const {
    std::vector<ScopeGrantPtr> held;
    if (count_ == 0) return held;
    const std::int64_t now = env_.monotonic_ns();
    const std::scoped_lock lock(mutex_);
    for (const ScopeGrantPtr& grant : grants_)
        if (grant->agent_id == agent_id && grant->project == project && grant->policy_hash == policy_hash &&
            now < grant->until_ns)
            held.push_back(grant);
    return held;
}

std::vector<ScopeGrantPtr> ScopeGrants::list() const {
    const std::int64_t now = env_.monotonic_ns();
    const std::scoped_lock lock(mutex_);
    std::vector<ScopeGrantPtr> held;
    for (const ScopeGrantPtr& grant : grants_)
        if (now < grant->until_ns) held.push_back(grant);
    return held;
}

ScopeGrantPtr ScopeGrants::revoke(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    const auto it = std::ranges::find(grants_, id, [](const ScopeGrantPtr& grant) { return grant->id; });
    if (it == grants_.end()) return nullptr;
    ScopeGrantPtr revoked = std::move(*it);
    grants_.erase(it);
    count_ = grants_.size();
    return revoked;
}

bool ScopeGrants::expire() {
    if (count_ == 0) return false;
    const std::int64_t now = env_.monotonic_ns();
    const std::scoped_lock lock(mutex_);
    const bool any =
        std::erase_if(grants_, [&](const ScopeGrantPtr& grant) { return now >= grant->until_ns; }) > 0;
    count_ = grants_.size();
    return any;
}

bool covers_line(const ScopeGrant& grant, const policy::ParsedLine& line,
                 const policy::EvaluationContext& context) {
    if (grant.scope.kind != ScopeKind::cmd || grant.compiled.empty()) return false;
    // As it lies in a string, it may not be aligned as its reader needs it.
    std::vector<std::uint64_t> aligned((grant.compiled.size() + 7) / 8);
    std::memcpy(aligned.data(), grant.compiled.data(), grant.compiled.size());
    const auto opened =
        policy::CompiledPolicy::open({reinterpret_cast<const char*>(aligned.data()), grant.compiled.size()});
    if (!opened) return false;
    const Decision decision = policy::judge(*opened, line, context);
    return decision.action == DecisionAction::allow;
}

}  // namespace substrate::broker
