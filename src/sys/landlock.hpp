#pragma once

namespace substrate::sys {

// The Landlock ABI of this kernel, 0 when it has none or it is switched off. See landlock(7).
int landlock_abi();

}  // namespace substrate::sys
