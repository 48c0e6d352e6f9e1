#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Pseudo-terminals (pty(7), ioctl_tty(2)).
namespace substrate::sys {

struct WindowSize {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
};

struct Terminal {
    UniqueFd master;
    UniqueFd slave;
};
// A new terminal of the devpts(5) instance that `multiplexer` ("/dev/pts/ptmx") belongs to. Neither end
// becomes our controlling terminal. KERNEL(4.13): the slave is opened without its path.
Result<Terminal> open_terminal(const std::string& multiplexer, WindowSize size);

// By the master. The kernel tells the foreground process group by SIGWINCH when it changes.
Result<> set_window_size(int master, WindowSize size);
// What a read of the master has brought.
struct TerminalOutput {
    std::size_t size = 0;
    bool more = false;     // the buffer is full
    bool hung_up = false;  // nobody has the other end any more
};
// By the master, which does not block: the kernel gives 4 KiB at most, and what is there becomes one piece.
TerminalOutput read_output(int master, std::span<char> buffer);
// By the master: takes what was written to it and nobody has read at the other end, whole lines or not.
Result<std::string> take_unread_input(int master);
// By the master: SIGINT, SIGQUIT or SIGTSTP to the foreground process group, as by the terminal's own
// keys but in any of its modes. EINVAL for other signals.
Result<> signal_foreground(int master, int signal);

// By the master: the character that stops the foreground, where that is the session leader's own process
// group and the leader takes SIGTSTP as it comes: the kernel then stops nobody (an orphaned process group,
// setpgid(2)). nullopt: keys are the foreground's.
std::optional<char> stop_key_of_leader(int master);

}  // namespace substrate::sys
