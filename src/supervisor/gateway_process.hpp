#pragma once

#include <string>
#include <vector>

#include "process/spawn.hpp"

namespace substrate::supervisor {

// Starts `program` (substrate-gateway) with `fds` from descriptor 3 on. `word` says what it is to be, empty:
// the gateway. It dies with the thread that calls.
Result<process::Child> spawn_gateway(const std::string& program, std::string word,
                                     const std::vector<int>& fds);

// Whether `program` starts here and answers; it is ended.
Result<> try_gateway(const std::string& program);

// Ends it and waits. One that was never started is none.
void end_gateway(const process::Child& child);

}  // namespace substrate::supervisor
