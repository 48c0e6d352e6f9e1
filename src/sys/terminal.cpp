#include "sys/terminal.hpp"

#include <asm/ioctls.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sys/file.hpp"

namespace substrate::sys {

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

Result<> signal_foreground(int master, int signal) {
    if (::ioctl(master, TIOCSIG, signal) != 0) return fail(Error::last_os("ioctl TIOCSIG"));
    return {};
}

}  // namespace substrate::sys
