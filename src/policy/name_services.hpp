#pragma once

#include "policy/host_name.hpp"

namespace substrate::policy {

// Whether public name servers are asked at this host over HTTPS (RFC 8484), or at one
// above it: some give each customer a name of its own. Whoever opens everything, or all names
// below one, seldom means those: a world's names are the gateway's to answer. The list can never be whole.
bool is_name_service(const DomainName& name);

}  // namespace substrate::policy
