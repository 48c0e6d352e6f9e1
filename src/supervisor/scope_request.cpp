#include "supervisor/scope_request.hpp"

#include <fcntl.h>

#include <algorithm>

#include "base/paths.hpp"
#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "codec/time_text.hpp"
#include "egress/access_rules.hpp"
#include "policy/host_name.hpp"
#include "sys/file.hpp"

namespace substrate::supervisor {
namespace {

using broker::PolicySet;
using broker::ScopeKind;
using Verdict = ScopeAnswer::Verdict;

constexpr std::string_view kWildcards = "*?[";

policy::NetVerdict net_verdict(const std::shared_ptr<const NetworkOrder>& order, const policy::HostPort& to) {
    if (order)
        if (const auto rules = egress::AccessRules::read(order->rules))
            return rules->decide(to.host, to.port);
    policy::NetVerdict closed;
    closed.reason = "nothing can be reached";
    return closed;
}

Result<ScopeAnswer> answer_net(const Machine& machine, const PolicySet& policies, const Project& project,
                               const std::string& value) {
    ScopeAnswer answer{.policy_id = policies.id(), .grant = {}};
    answer.verdict = Verdict::granted;
    if (!policies.isolate_network()) {
        answer.reason = "the policy shares the host's network";
        return answer;
    }
    if (!machine.network) return fail({Errc::unsupported, "worlds have no way out here"});
    SUB_TRY_ASSIGN(const policy::HostPort to, policy::read_host_port(value));
    policy::NetVerdict now = net_verdict(machine.network->order_for(policies, project.path()), to);
    policy::NetVerdict then =
        net_verdict(machine.network->order_for(policies, project.path(), {"?", {value}}), to);
    answer.reason = now.allowed ? "allowed by the pattern \"" + now.pattern + "\"" : now.reason;
    if (now.allowed) return answer;
    answer.verdict = then.allowed ? Verdict::ask : Verdict::denied;
    if (then.allowed) return answer;
    answer.rule = std::move(then.rule);
    answer.pattern = std::move(then.pattern);
    answer.reason = std::move(then.reason);
    if (!then.policy_id.empty()) answer.policy_id = std::move(then.policy_id);
    return answer;
}

bool may_write(const FsAccess& access, const std::string& path, const std::string& project) {
    return (access.project_writable && is_within(path, project)) ||
           std::ranges::any_of(access.writable, [&](const std::string& of) { return is_within(path, of); });
}

Result<ScopeAnswer> answer_write(const broker::Broker& broker, const PolicySet& policies,
                                 const Project& project, const std::string& path) {
    const policy::PatternValues values{.project = project.path(), .home = broker.places().home};
    ScopeAnswer answer{.policy_id = policies.id(), .grant = {}};
    const FsAccess now = policies.fs_access(values);
    const auto denied = [&](const char* rule, const std::string& pattern, const std::string& reason) {
        answer.verdict = Verdict::denied;
        answer.rule = rule;
        answer.pattern = pattern;
        answer.reason = reason;
        return answer;
    };
    for (const std::string& hidden : now.hidden)
        if (is_within(path, hidden)) return denied("fs.deny", hidden, "the policy shows it empty");
    if (may_write(now, path, project.path())) {
        answer.verdict = Verdict::granted;
        answer.reason = "the policy lets it be written";
        return answer;
    }
    if (now.mode == WorldFsMode::read_only)
        return denied("world_fs.mode", {}, "the policy lets nothing be written");
    if (!may_write(policies.fs_access(values, {path}), path, project.path()))
        return denied("managed", {}, "the machine's policy does not let it be written");
    // Worlds open what is there when they are made, and follow no links.
    const auto st = sys::stat_at(AT_FDCWD, path.c_str());
    if (!st || !*st || sys::resolve_links(path) != path)
        return fail(Error(Errc::invalid,
                          "'" + printable(path) + "' is not there, or behind a link: it could not be opened")
                        .hint("make it first, or ask for the directory above"));
    answer.reason = "the policy lets other places be written only";
    return answer;
}

ScopeAnswer answer_command(broker::Broker& broker, const Project& project, const ScopeQuestion& question) {
    const std::string& pattern = question.scope.value;
    const broker::Judgement judged = broker.judge({.line = pattern,
                                                   .argv = {},
                                                   .cwd = question.cwd,
                                                   .governed_by = {},
                                                   .project = project.path(),
                                                   .session = question.session,
                                                   .profile = {},
                                                   .agent_id = question.agent_id});
    const Decision& decision = judged.verdict.decision;
    ScopeAnswer answer{.rule = decision.rule,
                       .pattern = decision.pattern,
                       .reason = decision.reason,
                       .policy_id = judged.policies ? judged.policies->id() : "none",
                       .grant = {}};
    // What a pattern with wildcards stands for is judged when it comes.
    const bool exact = pattern.find_first_of(kWildcards) == std::string::npos;
    const bool holds_back = judged.policies && judged.policies->mode() == PolicyMode::enforce;
    const bool runs = judged.may_run() && (exact || !holds_back);
    if (judged.verdict.denied) {
        answer.verdict = Verdict::denied;
    } else if (runs) {
        answer.verdict = Verdict::granted;
    } else if (!judged.policies->interactive()) {
        answer.verdict = Verdict::denied;
        answer.rule = "approval.interactive";
        answer.pattern.clear();
        answer.reason = "the policy lets nobody be asked";
    }
    return answer;
}

}  // namespace

Result<ScopeAnswer> answer_scope(const Machine& machine, broker::Broker& broker, const Project& project,
                                 const ScopeQuestion& question) {
    const broker::Loaded loaded = broker.in_force(question.cwd, project.path());
    if (!loaded.set)
        return fail(
            Error(Errc::unavailable, "no policy could be read").hint("substrate policy show says why"));
    for (const broker::ScopeGrantPtr& grant :
         broker.grants().of(question.agent_id, project.path(), loaded.set->hash()))
        if (grant->scope == question.scope)
            return ScopeAnswer{.verdict = Verdict::granted,
                               .rule = {},
                               .pattern = {},
                               .reason = "granted before",
                               .policy_id = loaded.set->id(),
                               .grant = grant};
    switch (question.scope.kind) {
        case ScopeKind::net: return answer_net(machine, *loaded.set, project, question.scope.value);
        case ScopeKind::fs_write: return answer_write(broker, *loaded.set, project, question.scope.value);
        case ScopeKind::cmd: return answer_command(broker, project, question);
    }
    return fail({Errc::internal, "a scope of an unknown kind"});
}

Json describe_grants(broker::Broker& broker) {
    Json all = Json::array();
    for (const broker::ScopeGrantPtr& grant : broker.grants().list())
        all.push_back({{"grant_id", grant->id},
                       {"agent_id", printable(grant->agent_id)},
                       {"project", printable(grant->project)},
                       {"scope", printable(to_string(grant->scope))},
                       {"policy_hash", grant->policy_hash},
                       {"expires", format_rfc3339(grant->expires_ns)}});
    return all;
}

Result<> revoke_grant(const Machine& machine, broker::Broker& broker, trace::TraceWriter& trace,
                      const std::string& grant_id) {
    const broker::ScopeGrantPtr revoked = broker.grants().revoke(grant_id);
    if (!revoked)
        return fail(Error(Errc::not_found, "there is no grant '" + printable(grant_id) + "'")
                        .hint("GET /v1/request_scopes and substrate policy approvals list them"));
    if (machine.network) machine.network->revise(broker);
    Event event{.type = std::string(event_type::kApproval),
                .ts_ns = machine.env.realtime_ns(),
                .session_id = {},
                .span_id = {},
                .fields = Json::object()};
    event.fields["answer"] = "revoked";
    event.fields["grant_id"] = revoked->id;
    put_bytes(event.fields, "scope", to_string(revoked->scope));
    put_bytes(event.fields, "directory", revoked->project);
    event.fields["policy_hash"] = revoked->policy_hash;
    event.fields["agent_id"] = revoked->agent_id;
    // It is gone, whether or not this is written.
    (void)trace.append(event);
    return {};
}

}  // namespace substrate::supervisor
