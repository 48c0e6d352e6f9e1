#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>

namespace substrate::world {

// The memory and the state of the thread whose call is answered. Errors are errno values, 0 for none.
// SAFETY: what was read is used and never read again: another thread may write there.
class CallerMemory {
  public:
    explicit CallerMemory(pid_t caller) : caller_(caller) {}

    // A text that ends in '\0': ENAMETOOLONG where it does not within `limit` bytes.
    int read_text(std::uint64_t address, std::size_t limit, std::string& text) const;
    // A path: at most PATH_MAX.
    int read_path(std::uint64_t address, std::string& path) const;
    int read(std::uint64_t address, std::span<char> bytes) const;
    int write(std::uint64_t address, std::span<const char> bytes) const;

  private:
    pid_t caller_;
};

// The file mode creation mask of the thread's process; 077 where it cannot be read.
mode_t umask_of(pid_t thread);
// The controlling terminal of the thread's process below /dev/pts; "" when it has none there.
std::string terminal_of(pid_t thread);

}  // namespace substrate::world
