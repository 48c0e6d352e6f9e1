#pragma once

#include <sys/types.h>

#include <optional>

namespace substrate::sys {

// The process's file mode creation mask. Changes it for an instant: not beside
// threads that create files.
mode_t current_umask();
// The process that is its parent now, by /proc; nullopt when it is gone or not shown.
std::optional<pid_t> parent_process(pid_t pid);
// Gives back the memory that the pages of a statically linked program take which were
// used until now: those still needed come back from the page cache, one fault each.
void drop_program_pages();
// Opens /dev/null as each of descriptors 0, 1 and 2 that is closed, so that no other
// file ends up there.
void ensure_standard_streams();

}  // namespace substrate::sys
