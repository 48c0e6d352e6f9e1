#include "sys/terminal.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "sys/file.hpp"

namespace substrate::sys {

TerminalOutput read_output(int master, std::span<char> buffer) {
    TerminalOutput output{.size = 0, .more = true, .hung_up = false};
    while (output.more && output.size < buffer.size()) {
        const auto n = read_some(master, buffer.subspan(output.size));
        output.more = n && *n > 0;
        if (output.more) output.size += *n;
        else output.hung_up = n || n.error().os_errno() != EAGAIN;
    }
    return output;
}

Result<> set_window_size(int master, WindowSize size) {
    winsize window{};
    window.ws_col = size.columns;
    window.ws_row = size.rows;
    if (::ioctl(master, TIOCSWINSZ, &window) != 0) return fail(Error::last_os("ioctl TIOCSWINSZ"));
    return {};
}

Result<Terminal> open_terminal(const std::string& multiplexer, WindowSize size) {
    Terminal terminal;
    SUB_TRY_ASSIGN(terminal.master, open_path(multiplexer, O_RDWR | O_NOCTTY));
    int locked = 0;
    if (::ioctl(terminal.master.get(), TIOCSPTLCK, &locked) != 0)
        return fail(Error::last_os("ioctl TIOCSPTLCK", multiplexer));
    const int slave = ::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return fail(Error::last_os("ioctl TIOCGPTPEER", multiplexer));
    terminal.slave.reset(slave);
    SUB_TRY(set_window_size(terminal.master.get(), size));
    return terminal;
}

namespace {

// Whether the process ignores or catches the signal, by proc_pid_status(5); true where it cannot be read.
bool has_own_way_with(pid_t process, int signal) {
    const auto status = read_file("/proc/" + std::to_string(process) + "/status");
    if (!status) return true;
    for (const std::string_view field : {"\nSigIgn:\t", "\nSigCgt:\t"}) {
        const std::size_t at = status->find(field);
        if (at == std::string::npos) return true;
        const auto mask = std::strtoull(status->c_str() + at + field.size(), nullptr, 16);
        if ((mask >> (signal - 1) & 1) != 0) return true;
    }
    return false;
}

}  // namespace

std::optional<char> stop_key_of_leader(int master) {
    termios modes{};
    pid_t foreground = 0, session = 0;
    if (::tcgetattr(master, &modes) != 0 || (modes.c_lflag & ISIG) == 0) return std::nullopt;
    if (modes.c_cc[VSUSP] == _POSIX_VDISABLE) return std::nullopt;
    if (::ioctl(master, TIOCGPGRP, &foreground) != 0 || ::ioctl(master, TIOCGSID, &session) != 0)
        return std::nullopt;
    if (foreground <= 0 || foreground != session || has_own_way_with(session, SIGTSTP)) return std::nullopt;
    return static_cast<char>(modes.c_cc[VSUSP]);
}

// n_tty(4) gives parts of lines to who does not ask for whole ones. The mode is the terminal's, so it is
// changed for as long as it takes to read; it is not ours, so no signal stops us.
Result<std::string> take_unread_input(int master) {
    const UniqueFd slave(::ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (!slave) return fail(Error::last_os("ioctl TIOCGPTPEER"));
    termios before{};
    if (::tcgetattr(slave.get(), &before) != 0) return fail(Error::last_os("tcgetattr"));
    termios parts = before;
    parts.c_lflag &= ~static_cast<tcflag_t>(ICANON);
    parts.c_cc[VMIN] = 0;
    parts.c_cc[VTIME] = 0;
    if (::tcsetattr(slave.get(), TCSANOW, &parts) != 0) return fail(Error::last_os("tcsetattr"));
    std::string unread;
    std::array<char, 4096> buffer{};
    while (const std::size_t n = read_some(slave.get(), buffer).value_or(0)) unread.append(buffer.data(), n);
    if (::tcsetattr(slave.get(), TCSANOW, &before) != 0) return fail(Error::last_os("tcsetattr"));
    return unread;
}

Result<> signal_foreground(int master, int signal) {
    if (::ioctl(master, TIOCSIG, signal) != 0) return fail(Error::last_os("ioctl TIOCSIG"));
    return {};
}

}  // namespace substrate::sys
