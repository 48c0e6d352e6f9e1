#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "codec/json_value.hpp"
#include "codec/policy_yaml.hpp"
#include "model/policy.hpp"

namespace substrate::shell {

// One value of a policy as a person would write it.
struct PolicyValue {
    std::string pointer;  // JSON pointer (RFC 6901)
    Json value;           // null: not set, and no value stands for it
};

// All values but the hash, in the order of the schema.
std::vector<PolicyValue> policy_values(const Policy& policy);

// "5m", "90s", "1500ms" as a policy has them; null for 0, which is no limit.
Json time_value(std::int64_t ms);

// "commands.denied" for "/commands/denied": how decisions name rules.
std::string dotted(std::string_view pointer);

// The lines that values were read at; a pointer that is missing has its default.
using OriginLines = std::unordered_map<std::string, int>;
OriginLines origin_lines(const std::vector<PolicyOrigin>& origins);
// "FILE:LINE" or "default"; not yet safe to print.
std::string origin_text(std::string_view file, const OriginLines& lines, const std::string& pointer);

// One line for a value, and one more for each item of a list; safe to print. `file` and
// `lines`: where it came from is said too.
std::string render_value(const PolicyValue& value);
std::string render_value(const PolicyValue& value, std::string_view file, const OriginLines& lines);

}  // namespace substrate::shell
