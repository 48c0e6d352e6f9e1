#pragma once

#include <cstdint>
#include <string>

namespace substrate::broker {

// Where one account's policies and what a person has said about them lie. All
// absolute; none of them is visible in a world.
struct Places {
    std::string user_policies;    // $SUBSTRATE_HOME/policies
    std::string system_policies;  // /etc/substrate/policies
    std::string managed_policy;   // /etc/substrate/managed.yaml: nothing loosens it
    std::string trust_file;       // $SUBSTRATE_HOME/trust.json
    std::string approvals_file;   // $SUBSTRATE_HOME/approvals.yaml
    std::string cache;            // $SUBSTRATE_HOME/cache/policies: compiled ones
    std::string home;             // of the account: $HOME in patterns, ~ in command lines
    std::uint32_t uid = 0;
};

// The usual ones. `state` is $SUBSTRATE_HOME.
Places places_of(const std::string& state, const std::string& home, std::uint32_t uid);

// Names in a directory of a project.
inline constexpr const char* kProfileFile = ".substrate-profile";            // holds a policy's id
inline constexpr const char* kProjectPolicyFile = ".substrate-policy.yaml";  // a whole policy

}  // namespace substrate::broker
