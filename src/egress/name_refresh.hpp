#pragma once

#include <cstdint>

namespace substrate::egress {

// How long what a name led to is used (`net.dns` of a policy).
struct NameRefresh {
    // The first answer holds for `secs`, whatever its time to live, and longer while no name server can be
    // asked. Otherwise an answer holds for its time to live, and at most for `secs`.
    bool pinned = false;
    std::uint32_t secs = 300;
};

}  // namespace substrate::egress
