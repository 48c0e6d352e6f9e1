#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "policy/command_line.hpp"
#include "policy/evaluate.hpp"
#include "policy/pattern.hpp"

namespace substrate::broker {

enum class ScopeKind : std::uint8_t { net, fs_write, cmd };

// Something more than policies permit by themselves.
struct Scope {
    ScopeKind kind = ScopeKind::net;
    // "HOST:PORT" in one form; an absolute path in the project; a pattern of commands that names a program.
    std::string value;
    bool operator==(const Scope&) const = default;
};
// "net:HOST:PORT", "fs.write:PATH", "cmd:PATTERN".
std::string to_string(const Scope& scope);
// Errc::invalid, with the reason, for another text. A path may begin with "$PROJECT" or be relative to it;
// one that leads out of the project, a host with a wildcard and a pattern without a literal program are
// refused: what is granted is what a person has read.
Result<Scope> read_scope(std::string_view text, const policy::PatternValues& values);

// What a person has granted.
struct ScopeGrant {
    std::string id;  // "grt_" and a UUID
    std::string agent_id;
    std::string project;
    std::string policy_hash;  // of the policies it was granted under: under others it is void
    Scope scope;
    std::int64_t expires_ns = 0;  // since the epoch
    std::int64_t until_ns = 0;    // the same, monotonic: what counts
    std::string compiled;         // of a pattern; set by keep()
};
using ScopeGrantPtr = std::shared_ptr<const ScopeGrant>;

// The grants of one agent, in memory: they end with it at the latest. Thread-safe.
class ScopeGrants {
  public:
    // `home` is what $HOME means in patterns.
    ScopeGrants(const Env& env, std::string home) : env_(env), home_(std::move(home)) {}

    static constexpr std::size_t kMost = 256;

    // Takes the place of one for the same. Errc::conflict when there are too many.
    Result<> keep(ScopeGrant grant);
    // What still holds for who asks under these policies, oldest first.
    std::vector<ScopeGrantPtr> of(const std::string& agent_id, const std::string& project,
                                  const std::string& policy_hash) const;
    // All that hold, under whatever policies, oldest first.
    std::vector<ScopeGrantPtr> list() const;
    // Ends one now: the grant that it was, or null.
    ScopeGrantPtr revoke(const std::string& id);
    // Forgets what holds no longer; whether there was such a one.
    bool expire();

  private:
    const Env& env_;
    const std::string home_;
    std::atomic<std::size_t> count_ = 0;  // most often 0, and then nobody need wait for the lock
    mutable std::mutex mutex_;
    std::vector<ScopeGrantPtr> grants_;
};

// Whether the grant's pattern covers every command of the line, and the line is nothing but them: no
// operators, nothing in it that is not known before.
bool covers_line(const ScopeGrant& grant, const policy::ParsedLine& line,
                 const policy::EvaluationContext& context);

}  // namespace substrate::broker
