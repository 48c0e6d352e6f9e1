#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "broker/broker.hpp"
#include "broker/scope_grants.hpp"
#include "supervisor/session_world.hpp"

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

}  // namespace substrate::supervisor
