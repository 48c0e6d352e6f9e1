#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "codec/policy_yaml.hpp"
#include "model/policy.hpp"
#include "policy/compiled_policy.hpp"
#include "policy/evaluate.hpp"
#include "policy/fs_access.hpp"

namespace substrate::broker {

// Why a policy is part of a set.
enum class LayerRole : std::uint8_t {
    managed,    // the machine's: nothing loosens it
    chosen,     // what governs the directory
    floor,      // the account's own, under a choice that nobody has trusted
    accepted,   // what a person had trusted for the directory, which now says something else
    requested,  // what the caller wants to hold besides: it can only hold back
};
const char* to_string(LayerRole role);

struct Layer {
    LayerRole role = LayerRole::chosen;
    std::string file;  // where it was read; "(shipped)/ID.yaml" for those in the program
    Policy policy;     // with its hash
    std::vector<PolicyOrigin> origins;
};

// Whole policies that hold together: a command may do what all of them permit.
// Immutable; an evaluation that has one sees it until its end.
class PolicySet {
  public:
    // `layers` is not empty; the chosen one gives the id. `compiled` are the flat
    // forms, one for each layer, aligned to 8 bytes and kept alive by `owner`.
    static Result<std::shared_ptr<const PolicySet>> make(std::vector<Layer> layers,
                                                         std::vector<std::string_view> compiled,
                                                         std::shared_ptr<const void> owner);

    const std::vector<Layer>& layers() const { return layers_; }
    const policy::CompiledPolicy& compiled(std::size_t layer) const { return compiled_[layer]; }
    // The chosen policy's; with "+" and that of the requested one, which makes it another policy.
    const std::string& id() const { return id_; }
    // "sha256:" and 64 hexadecimal digits, over the layers' own.
    const std::string& hash() const { return hash_; }
    // enforce when one of the layers does.
    PolicyMode mode() const;

    // What all layers together leave of the values that are not patterns.
    CommitMode commit() const;     // the most cautious
    bool reuse_session() const;    // all
    bool isolate_network() const;  // any
    // The only ports that net.allowed opens, sorted; nullopt: all of them.
    std::optional<std::vector<std::uint16_t>> tcp_ports() const;
    NetPath net_path() const;                    // the strictest
    std::vector<std::uint16_t> publish() const;  // all but the machine's
    WorldLimits limits() const;                  // the lowest of each; 0: none
    std::int64_t approval_timeout_ms() const;    // the shortest; 0: none
    bool interactive() const;                    // all
    SeccompMode seccomp() const;                 // the strictest
    // What all permit. Besides, in the eyes of all but the machine's policy and those that permit no writing
    // at all, `granted` may be written: paths in the project.
    FsAccess fs_access(const policy::PatternValues& values,
                       const std::vector<std::string>& granted = {}) const;

  private:
    std::vector<std::string> sockets(const policy::PatternValues& values,
                                     std::vector<std::string>& problems) const;

    std::vector<Layer> layers_;
    std::vector<policy::CompiledPolicy> compiled_;
    std::shared_ptr<const void> owner_;
    std::string id_;
    std::string hash_;
};

// What the layers say together about one command.
struct Verdict {
    // The one that is recorded: what holds back most; of what a layer that only observes
    // would have done before another's consent.
    Decision decision;
    bool denied = false;   // it must not run
    bool asks = false;     // it runs only when a person agrees
    bool isolate = false;  // in a world of its own, with its change shown first
    bool direct = false;   // on the project itself
    // A layer that observes would have denied it or asked.
    bool would_deny = false;
};

Verdict judge(const PolicySet& set, const policy::ParsedLine& line, const policy::EvaluationContext& context);

}  // namespace substrate::broker
