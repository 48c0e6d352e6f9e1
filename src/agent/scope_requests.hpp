#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "agent/approvals.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "broker/broker.hpp"
#include "broker/scope_grants.hpp"
#include "supervisor/scope_request.hpp"
#include "trace/writer.hpp"

namespace substrate::agent {

// What agents have asked for beyond their policies, until a person has decided. Nothing waits for it: who
// asked asks again. Thread-safe.
class ScopeRequests {
  public:
    static constexpr std::size_t kMostWaiting = 8;  // of all agent ids: commands are to be asked about, too
    static constexpr std::size_t kMostWaitingOfOne = 4;  // of one
    static constexpr std::int64_t kMostMs = 86'400'000;  // a grant holds no longer
    static constexpr std::int64_t kUsualMs = 3'600'000;  // where nobody says
    static constexpr std::int64_t kDecisionMs =
        300'000;  // a question waits no longer, where the policy sets no limit

    ScopeRequests(const Env& env, Approvals& approvals) : env_(env), approvals_(approvals) {}

    struct Asked {
        broker::Scope scope;
        std::string agent_id;
        std::string project;
        std::string session;
        std::string reason;  // the agent's words
        std::string policy_id, policy_hash;
        std::int64_t ttl_ms = kUsualMs;
        std::int64_t patience_ms = kDecisionMs;
        std::string why;  // the policy's
        std::string rule, pattern;
    };
    struct State {
        std::string approval_id;  // waits under this id; empty: it does not
        bool refused = false;     // a person has said no
        bool full = false;        // too many wait
    };
    // Asks a person, unless that has happened. A refusal is told for as long as the question would have
    // waited.
    State ask(const Asked& asked);
    // Takes what was decided: what was allowed is granted from now on. What nobody has decided in time
    // waits no longer.
    void settle(broker::Broker& broker, trace::TraceWriter& trace);

  private:
    struct Entry {
        Asked asked;
        std::string approval_id;
        std::int64_t until_ns = 0;  // monotonic
        bool refused = false;
    };
    void grant(const Entry& entry, broker::Answer answer, broker::Broker& broker, trace::TraceWriter& trace);

    const Env& env_;
    Approvals& approvals_;
    std::mutex mutex_;
    std::map<std::string, Entry> entries_;  // by agent id, project, policies and scope
};

}  // namespace substrate::agent
