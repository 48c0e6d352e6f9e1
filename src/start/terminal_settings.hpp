#pragma once

namespace substrate::start {

// The settings of the terminal behind standard input, as the kernel has them.
struct TerminalSettings {
    bool saved = false;   // false: there is no terminal
    char bytes[64] = {};  // struct termios of the kernel: 36 bytes
};

void save_terminal(TerminalSettings& settings);

// After what is still to be written has been: a command that was killed may leave its
// terminal raw.
void restore_terminal(const TerminalSettings& settings);

}  // namespace substrate::start
