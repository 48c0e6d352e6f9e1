#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "broker/approvals.hpp"
#include "broker/loader.hpp"
#include "broker/policy_set.hpp"
#include "broker/scope_grants.hpp"
#include "policy/command_line.hpp"

namespace substrate::broker {

// One command before it runs.
struct Question {
    std::string line;               // for a shell
    std::vector<std::string> argv;  // or: exactly this
    policy::Dialect dialect = policy::Dialect::bash;
    std::string cwd;  // absolute
    // The directory whose policies hold, and for which an approval must hold as well; empty: cwd.
    std::string governed_by;
    std::string project;  // what $PROJECT means
    std::string session;
    std::string profile;   // a policy that must agree besides; empty: none
    std::string agent_id;  // whose grants hold
};

// What the policies in force say about it.
struct Judgement {
    Verdict verdict;
    bool approved = false;              // an earlier answer or a grant covers what is asked
    std::vector<ScopeGrantPtr> grants;  // that hold for who asks
    ApprovalScope scope;                // of an answer, where something is asked
    std::vector<std::string> parts;     // the commands that the line was read as, where something is asked
    // What decided; null when no policy could be read: then the verdict is a denial.
    std::shared_ptr<const PolicySet> policies;
    std::vector<std::string> notices;  // one line each, not yet told
    bool may_run() const { return !verdict.denied && (!verdict.asks || approved); }
};

// A change of what is in force, for the trace and for people.
struct Reload {
    std::string directory;  // whose commands it concerns
    std::string policy_id;
    std::string old_hash, new_hash;  // empty: none
    std::string problem;             // not empty: what is broken; the old one stays
};

// Policy with state and time: what was read and when it changed, the last good one
// where the newest is broken, and what a person has approved. Every evaluation
// compares the stamps of the files that it depends on. May be called from several threads.
class Broker {
  public:
    Broker(const Env& env, Places places);

    Judgement judge(const Question& question);
    // Keeps the answer to what was asked.
    Result<> answer(const Judgement& judgement, Answer answer, const std::string& session);
    // What governs a directory, read again where its files have changed.
    Loaded in_force(const std::string& cwd, const std::string& project, const std::string& profile = {});
    // Looks at every directory that was asked about.
    void refresh();
    // What has changed since the last call, in order.
    std::vector<Reload> take_reloads();

    const Places& places() const { return files_.places; }
    Approvals& approvals() { return approvals_; }
    ScopeGrants& grants() { return grants_; }

  private:
    struct Key {
        std::string cwd, project, profile;
        auto operator<=>(const Key&) const = default;
    };
    struct Known {
        Loaded loaded;
        std::string told;  // the notices that were handed out
    };
    Known& current(const Key& key);  // with mutex_ held
    void note_reload(const Key& key, const Loaded& before, const Loaded& now);

    const Env& env_;
    std::mutex mutex_;
    PolicyFiles files_;
    std::map<Key, Known> known_;
    std::vector<Reload> reloads_;
    Approvals approvals_;
    ScopeGrants grants_;
};

}  // namespace substrate::broker
