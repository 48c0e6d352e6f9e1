#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "model/policy.hpp"
#include "policy/pattern.hpp"

namespace substrate::broker {

// A compiled policy, mapped from its file or held in memory; aligned to 8 bytes.
struct CompiledBytes {
    std::string_view bytes;
    std::shared_ptr<const void> owner;
};

// The file in `directory` that holds this policy compiled with these values.
std::string compiled_name(const Policy& policy, const policy::PatternValues& values);

// From the cache where it has the policy whole, else compiled now and written there. An
// empty `directory` is no cache. The cache only saves time: what is wrong with it (not ours, damaged, no
// space) is no error.
Result<CompiledBytes> compiled_bytes(const std::string& directory, const Policy& policy,
                                     const policy::PatternValues& values);

}  // namespace substrate::broker
