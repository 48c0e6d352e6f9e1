#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "broker/places.hpp"
#include "broker/policy_set.hpp"
#include "codec/policy_yaml.hpp"

// One policy's text by itself.
namespace substrate::broker {

// "sha256:" and 64 hexadecimal digits.
std::string text_hash(std::string_view text);

// True for what may name a policy: ^[a-z0-9-]+$, at most 64 bytes.
bool is_policy_id(std::string_view text);
// The id in a .substrate-profile: one name, white space around it. Errc::invalid otherwise.
Result<std::string> profile_in(std::string_view text);

// Parses a policy and tries all of its patterns, each problem with its line.
PolicyText check_policy_text(std::string_view text, std::string_view file, const Places& places);

// The same as a layer with its hash. `id`: what the policy must be called; empty: any.
// The error's message names every problem, one after the other.
Result<Layer> read_layer(std::string_view text, const std::string& file, std::string_view id,
                         const Places& places);

// The ids of the policies that can be named, and where each is read: the account's
// directory, the machine's, the shipped ones; the first that has an id wins.
struct KnownPolicy {
    std::string id, file;
};
std::vector<KnownPolicy> known_policies(const Places& places);
// "(shipped)/ID.yaml"
std::string shipped_name(std::string_view id);

}  // namespace substrate::broker
