#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "supervisor/store.hpp"

namespace substrate::supervisor {

// What of the project has changed since `since_ns` and is not put back by `layers` (of
// layers_back_to): edits by hand, by commands on the host, by `direct` ones. Relative
// paths of what is there now, but for directories; a removal cannot be seen. Looks at every
// object of the project; returns at most `most` paths.
Result<std::vector<std::string>> hand_edits(const Store& store, const std::vector<std::string>& layers,
                                            std::int64_t since_ns, std::size_t most = 1000);

}  // namespace substrate::supervisor
