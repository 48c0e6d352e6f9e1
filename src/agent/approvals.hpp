#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "broker/answer.hpp"
#include "broker/approval_question.hpp"
#include "codec/json_value.hpp"

namespace substrate::agent {

// What waits for a person's decision, and who may give it. Thread-safe.
//
// A decision carries a secret that lies in the state directory: masked in every world, readable for the
// account alone. So whoever is confined can ask and cannot answer. A program outside of worlds with the
// account's rights can read it, as it can edit the policy: there it is the person.
class Approvals {
  public:
    static constexpr std::size_t kMost = 16;  // wait at once: each keeps a command's thread

    Approvals(const Env& env, std::string secret) : env_(env), secret_(std::move(secret)) {}

    struct Asked {
        std::string agent_id;
        std::string span_id;
        std::function<void()>
            wake;  // called when it is decided or nobody may wait any more; must not call back
    };
    // The question's id; nullopt when too many wait already, or nobody may wait any more.
    std::optional<std::string> ask(const broker::ApprovalQuestion& question, Asked asked);
    // The decision, if it has been made: the question waits no longer then.
    std::optional<broker::Answer> take(const std::string& id);
    // Waits in the caller's thread for the decision, as long as the question's time and `most_ns` (none: no
    // limit) allow, and withdraws the question. `pause` waits for at most so many milliseconds or for the
    // wake; false: who asked does not wait any longer. nullopt: nobody has decided.
    std::optional<broker::Answer> await(const std::string& id, const broker::ApprovalQuestion& question,
                                        std::optional<std::int64_t> most_ns,
                                        const std::function<bool(int)>& pause);
    // Nobody waits for the answer any more.
    void withdraw(const std::string& id);
    // Those that may still wait, and no new ones: wakes all. `closed()` from then on.
    void close();
    bool closed() const;

    // What waits, oldest first; safe to print. In the form of the document's Approvals.
    Json list() const;
    // Errc::denied for another secret; Errc::not_found when nothing of that id waits; Errc::invalid for an
    // answer that the question does not allow.
    Result<> decide(const std::string& id, broker::Answer answer, const std::string& secret);

  private:
    struct Entry {
        broker::ApprovalQuestion question;
        Asked asked;
        std::int64_t since_ns = 0;
        std::optional<broker::Answer> answer;
    };
    const Env& env_;
    const std::string secret_;
    mutable std::mutex mutex_;
    std::map<std::string, Entry> waiting_;  // ids sort by their time
    bool closed_ = false;
};

// A new secret of 256 random bits, written to `secret_file`, mode 0600, in place of an older one.
Result<std::string> make_secret(const Env& env, const std::string& secret_file);

// One question for people, safe to print: the members of the document's Approval but for who asks.
Json printable_question(const broker::ApprovalQuestion& question);

}  // namespace substrate::agent
