#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "broker/broker.hpp"
#include "broker/scope_grants.hpp"
#include "codec/json_value.hpp"
#include "supervisor/session_world.hpp"
#include "trace/writer.hpp"

namespace substrate::supervisor {

// What policies say when an agent asks for more.
struct ScopeAnswer {
    enum class Verdict : std::uint8_t {
        granted,  // it has that already: by policies, an approval or an earlier grant
        denied,   // no person can grant it
        ask,      // a person can
    };
    Verdict verdict = Verdict::ask;
    std::string rule, pattern, reason;  // as in Decision; rule and pattern of a denial, where one spoke
    std::string policy_id;              // that decided
    broker::ScopeGrantPtr grant;        // the earlier one
};

struct ScopeQuestion {
    broker::Scope scope;
    std::string agent_id;
    std::string cwd;  // the directory whose policies hold
    std::string session;
};

// Nothing that a policy denies, and nothing of what the machine's policy holds back, can be granted.
// Errc::invalid for what could not take effect: a path that is not there. Errc::unavailable where no policy
// could be read, Errc::unsupported where there is no network to grant.
Result<ScopeAnswer> answer_scope(const Machine& machine, broker::Broker& broker, const Project& project,
                                 const ScopeQuestion& question);

// What has been granted and holds, oldest first, in the form of GET /v1/request_scopes.
Json describe_grants(broker::Broker& broker);
// Ends a grant. Its host is closed at once for whoever has a connection to it as well; who writes to its path
// already goes on until the command has ended. Errc::not_found.
Result<> revoke_grant(const Machine& machine, broker::Broker& broker, trace::TraceWriter& trace,
                      const std::string& grant_id);

}  // namespace substrate::supervisor
