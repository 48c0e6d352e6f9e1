#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/exec.hpp"
#include "model/fs_access.hpp"

// A policy as it is written, as plain values. schemas/policy.schema.json is its form.
namespace substrate {

enum class PolicyMode : std::uint8_t { observe, enforce };

// What happens to a command whose words cannot all be known before it runs.
enum class UnresolvedRule : std::uint8_t { ask, deny, isolate };

struct FsRules {
    std::vector<std::string> read, write, deny;  // path patterns; $PROJECT and $HOME not yet expanded
    bool operator==(const FsRules&) const = default;
};

struct WorldFsRules {
    WorldFsMode mode = WorldFsMode::writable;
    WorldFsIsolation isolation = WorldFsIsolation::workspace;
    std::vector<std::string> read_allowlist, write_allowlist;
    bool require_world = false;
    bool operator==(const WorldFsRules&) const = default;
};

// How a world reaches what is allowed; the strictest first.
enum class NetPath : std::uint8_t {
    none,     // not at all
    gateway,  // by name, through a proxy that looks at what each connection is for
    veth,     // by address, through the kernel; needs root
};

struct NetRules {
    std::optional<NetPath> mode;                      // absent: gateway, unless another policy says more
    std::optional<std::vector<std::string>> allowed;  // absent is not the same as empty
    std::vector<std::string> denied;
    std::optional<std::vector<std::string>> unix_sockets;  // of the host, by path; "unix"
    bool dns_pinned = false;
    std::uint32_t dns_refresh_secs = 300;
    std::uint64_t egress_bytes_per_sec = 0;  // 0: no limit
    std::uint64_t egress_total_bytes = 0;    // 0: no limit
    std::uint64_t egress_command_bytes = 0;  // 0: no limit
    bool operator==(const NetRules&) const = default;
};

struct CommandRules {
    std::vector<std::string> allowed, denied, isolated, direct;  // patterns over commands
    UnresolvedRule unresolved = UnresolvedRule::ask;
    bool operator==(const CommandRules&) const = default;
};

struct HighIsolation {
    bool enabled = false;
    std::string provider;
    std::uint64_t microvm_memory = 0;  // bytes; 0: the provider's own
    std::uint32_t microvm_vcpus = 0;   // 0: the provider's own
    bool operator==(const HighIsolation&) const = default;
};

struct WorldRules {
    bool reuse_session = true;
    bool enable_preload = false;
    bool exec_tap = false;
    bool isolate_network = true;
    CommitMode commit = CommitMode::automatic;
    SeccompMode seccomp = SeccompMode::enforce;
    WorldLimits limits;
    HighIsolation high_isolation;
    std::string backend;                 // empty: the machine's own
    std::vector<std::uint16_t> publish;  // ports for the host's loopback
    bool operator==(const WorldRules&) const = default;
};

struct ApprovalRules {
    bool interactive = true;
    bool require_all = false;          // every command that is not approved beforehand
    std::vector<std::string> require;  // or those that match
    std::int64_t timeout_ms = 0;       // 0: wait
    std::vector<std::string> auto_approve;
    bool operator==(const ApprovalRules&) const = default;
};

struct EnvRules {
    std::vector<std::string> pass;
    std::map<std::string, std::string> set;
    bool operator==(const EnvRules&) const = default;
};

struct PrivacyRules {
    std::vector<std::string> ignore_paths;
    bool hash_code_only = false;
    bool index_user_docs = false;
    bool operator==(const PrivacyRules&) const = default;
};

struct Policy {
    std::string id;
    std::string name;
    PolicyMode mode = PolicyMode::observe;
    FsRules fs;
    WorldFsRules world_fs;
    NetRules net;
    CommandRules commands;
    WorldRules world;
    ApprovalRules approval;
    bool allow_shell_operators = true;
    EnvRules env;
    PrivacyRules privacy;
    std::string hash;  // of the text it was read from; set by who read it
    bool operator==(const Policy&) const = default;
};

enum class DecisionAction : std::uint8_t { allow, allow_with_restrictions, ask, deny };

// The verdict on one command line. Whether a denial blocks is the caller's to
// say, by `mode`: observing records would_deny.
struct Decision {
    DecisionAction action = DecisionAction::allow;
    std::string rule;     // "commands.denied[1]", counted from 0; empty where no rule spoke
    std::string pattern;  // as written in the policy
    std::string command;  // the one command that decided, wrappers removed; not yet safe to print
    std::string policy_id;
    std::string policy_hash;
    std::string reason;
    std::vector<std::string> restrictions;  // "isolate", "direct"
    bool isolated = false;                  // a pattern of commands.isolated matches, whatever decided
    std::string alternative;                // what to do instead; may be empty
    PolicyMode mode = PolicyMode::observe;
    bool operator==(const Decision&) const = default;
};

const char* to_string(PolicyMode mode);
const char* to_string(UnresolvedRule rule);
const char* to_string(WorldFsMode mode);
const char* to_string(WorldFsIsolation isolation);
const char* to_string(NetPath path);
const char* to_string(DecisionAction action);
std::optional<PolicyMode> parse_policy_mode(std::string_view text);
std::optional<UnresolvedRule> parse_unresolved_rule(std::string_view text);
std::optional<WorldFsMode> parse_world_fs_mode(std::string_view text);
std::optional<WorldFsIsolation> parse_world_fs_isolation(std::string_view text);
std::optional<NetPath> parse_net_path(std::string_view text);

}  // namespace substrate
