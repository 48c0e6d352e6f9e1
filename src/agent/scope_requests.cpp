#include "agent/scope_requests.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/ids.hpp"
#include "codec/event_json.hpp"
#include "codec/time_text.hpp"

namespace substrate::agent {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

std::string key_of(const ScopeRequests::Asked& asked) {
    std::string key;
    for (const std::string& part : {asked.agent_id, asked.project, asked.policy_hash, to_string(asked.scope)})
        key += part + '\0';
    return key;
}

broker::ApprovalQuestion question_of(const ScopeRequests::Asked& asked) {
    return {
        .command = "request_scopes " + to_string(asked.scope),
        .parts = {},
        .reason = asked.reason.empty() ? asked.why : asked.why + "; the agent says: " + asked.reason,
        .rule = asked.rule,
        .pattern = asked.pattern,
        .policy_id = asked.policy_id,
        .directory = asked.project,
        .scope_pattern = {},  // its time is the grant's own
        .impact = {fmt::format("for {} in {}, for {} s", asked.agent_id, asked.project, asked.ttl_ms / 1000)},
        .timeout_ms = asked.patience_ms};
}

}  // namespace

ScopeRequests::State ScopeRequests::ask(const Asked& asked) {
    const std::scoped_lock lock(mutex_);
    const std::string key = key_of(asked);
    if (const auto known = entries_.find(key); known != entries_.end())
        return {.approval_id = known->second.refused ? "" : known->second.approval_id,
                .refused = known->second.refused};
    std::size_t waiting = 0, of_one = 0;
    for (const auto& [of, entry] : entries_) {
        ++waiting;
        if (entry.asked.agent_id == asked.agent_id) ++of_one;
    }
    if (waiting >= kMostWaiting || of_one >= kMostWaitingOfOne) return {.approval_id = {}, .full = true};
    // Nobody is woken: who asked comes again.
    auto id = approvals_.ask(question_of(asked), {asked.agent_id, {}, [] {}});
    if (!id) return {.approval_id = {}, .full = true};
    entries_[key] = {
        .asked = asked, .approval_id = *id, .until_ns = env_.monotonic_ns() + asked.patience_ms * kNsPerMs};
    return {.approval_id = std::move(*id)};
}

void ScopeRequests::settle(broker::Broker& broker, trace::TraceWriter& trace) {
    const std::scoped_lock lock(mutex_);
    const std::int64_t now = env_.monotonic_ns();
    for (auto it = entries_.begin(); it != entries_.end();) {
        Entry& entry = it->second;
        const auto answer = entry.refused ? std::nullopt : approvals_.take(entry.approval_id);
        if (answer) grant(entry, *answer, broker, trace);
        if (answer == broker::Answer::deny) entry.refused = true;
        const bool allowed = answer && *answer != broker::Answer::deny;
        const bool late = now >= entry.until_ns;
        if (late && !answer) approvals_.withdraw(entry.approval_id);
        it = allowed || late ? entries_.erase(it) : std::next(it);
    }
}

void ScopeRequests::grant(const Entry& entry, broker::Answer answer, broker::Broker& broker,
                          trace::TraceWriter& trace) {
    const Asked& asked = entry.asked;
    Event event{.type = std::string(event_type::kApproval),
                .ts_ns = env_.realtime_ns(),
                .session_id = asked.session,
                .span_id = {},
                .fields = Json::object()};
    event.fields["answer"] = broker::to_string(answer);
    put_bytes(event.fields, "scope", to_string(asked.scope));
    put_bytes(event.fields, "directory", asked.project);
    event.fields["policy_id"] = asked.policy_id;
    event.fields["policy_hash"] = asked.policy_hash;
    event.fields["agent_id"] = asked.agent_id;
    if (answer != broker::Answer::deny) {
        const std::int64_t ttl_ns = std::clamp<std::int64_t>(asked.ttl_ms, 1, kMostMs) * kNsPerMs;
        broker::ScopeGrant made{.id = make_id(env_, "grt"),
                                .agent_id = asked.agent_id,
                                .project = asked.project,
                                .policy_hash = asked.policy_hash,
                                .scope = asked.scope,
                                .expires_ns = env_.realtime_ns() + ttl_ns,
                                .until_ns = env_.monotonic_ns() + ttl_ns,
                                .compiled = {}};
        event.fields["grant_id"] = made.id;
        event.fields["expires"] = format_rfc3339(made.expires_ns);
        if (auto kept = broker.grants().keep(std::move(made)); !kept)
            event.fields["problem"] = kept.error().describe();
    }
    // What was decided holds, whether or not this is written.
    (void)trace.append(event);
}

}  // namespace substrate::agent
