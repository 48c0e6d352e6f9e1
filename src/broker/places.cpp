#include "broker/places.hpp"

namespace substrate::broker {

Places places_of(const std::string& state, const std::string& home, std::uint32_t uid) {
    return {.user_policies = state + "/policies",
            .system_policies = "/etc/substrate/policies",
            .managed_policy = "/etc/substrate/managed.yaml",
            .trust_file = state + "/trust.json",
            .approvals_file = state + "/approvals.yaml",
            .cache = state + "/cache/policies",
            .home = home,
            .uid = uid};
}

}  // namespace substrate::broker
