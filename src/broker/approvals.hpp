#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "broker/answer.hpp"
#include "policy/command_line.hpp"

namespace substrate::broker {

// What "for the session" and "always" cover, exactly; all of it is shown to the person.
struct ApprovalScope {
    std::string policy_id;
    std::string policy_hash;
    std::string directory;  // the command's directory is this or below it; absolute, without . and ..
    std::string pattern;    // see scope_pattern
    bool operator==(const ApprovalScope&) const = default;
};

// A longer pattern is not kept: nobody reads it before answering.
inline constexpr std::size_t kMaxPatternBytes = 64u << 10;
// In one file; and session answers in memory, where the oldest give way.
inline constexpr std::size_t kMaxApprovals = 1024;

// The normalised form of a line for ApprovalScope. Of one simple command that is written in
// plain words and quotes alone, runs no other, redirects and assigns nothing: its words,
// quoted as a shell needs. Of every other line its text, without the white space at its ends
// where that cannot mean anything. Two lines with equal forms, read by the same shell,
// run the same thing in the same directory. `parsed` is what parse_command_line made of `line`.
std::string scope_pattern(std::string_view line, const policy::ParsedLine& parsed);
// The form of what is executed as it is; as a line it would run the same: a name
// that only means something inside a shell gets `env --` before it. Empty for no words.
std::string scope_pattern(const std::vector<std::string>& argv);

struct Approval {
    ApprovalScope scope;
    std::int64_t at_ns = 0;
    std::string id;  // "apr_" and a UUID: what `policy approvals --revoke` takes
    bool operator==(const Approval&) const = default;
};

// Approvals of one account: "session" in memory, "always" in a file (YAML, mode 0600). All
// members may be called from several threads; several processes exclude each other by a lock
// on a file beside it. A file that is no regular one (a link, a FIFO), that others
// own or can write, that is too big or that does not parse, covers nothing and is
// never overwritten; the error says which file, the line, what is wrong and what to do.
class Approvals {
  public:
    // `file` is absolute; the directory it is in is the account's own.
    Approvals(const Env& env, std::string file) : env_(env), file_(std::move(file)) {}

    // Whether an earlier answer covers this: always from the file as it is now, or in the session.
    // `problem` says why a broken file covers nothing, else it is empty. One statx(2)
    // while the file has not changed.
    bool covers(const ApprovalScope& scope, const std::string& session, std::string& problem) const;
    // Keeps an answer of "session" or "always"; others need no keeping, and what is
    // kept already stays as it is. A broken file is Errc::conflict; a scope that could never
    // cover anything, or is longer than kMaxPatternBytes, Errc::invalid.
    Result<> keep(const ApprovalScope& scope, Answer answer, const std::string& session);
    // What is in the file, oldest first. A broken file is Errc::invalid or Errc::safety.
    Result<std::vector<Approval>> list() const;
    // Removes by id, or all with an empty one, session answers too then; how many.
    Result<std::size_t> revoke(std::string_view id);
    // Removes the approvals of policies whose content is another one now: all with this
    // id and another hash, session answers first; how many.
    Result<std::size_t> drop_outdated(const std::string& policy_id, const std::string& policy_hash);
    // Forgets the answers of one session.
    void end_session(std::string_view session);

  private:
    struct Snapshot;
    struct SessionAnswer {
        std::string session;
        ApprovalScope scope;
    };
    using Edit = std::function<void(std::vector<Approval>&)>;

    std::shared_ptr<const Snapshot> current() const;
    Result<> change(const Edit& edit);
    Result<std::size_t> remove(const std::function<bool(const Approval&)>& outdated);
    std::size_t forget(const std::function<bool(const SessionAnswer&)>& outdated);

    const Env& env_;
    const std::string file_;
    mutable std::mutex mutex_;  // over what follows
    mutable std::shared_ptr<const Snapshot> snapshot_;
    std::vector<SessionAnswer> session_;
};

}  // namespace substrate::broker
