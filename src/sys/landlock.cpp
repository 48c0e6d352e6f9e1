#include "sys/landlock.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace substrate::sys {

int landlock_abi() {
    constexpr unsigned kCreateRulesetVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

}  // namespace substrate::sys
