#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace substrate::broker {

// The policies of packaging/policies, as they were when the program was built.
struct ShippedPolicy {
    std::string_view id;
    std::string_view text;
};
std::span<const ShippedPolicy> shipped_policies();
std::optional<std::string_view> shipped_policy(std::string_view id);

// packaging/tool_hosts.yaml, the same.
std::string_view shipped_tool_hosts();

}  // namespace substrate::broker
