#include "start/terminal_settings.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include "sys/raw_call.hpp"

namespace substrate::start {

using sys::as_long;
using sys::raw_call;

void save_terminal(TerminalSettings& settings) {
    settings.saved = raw_call(SYS_ioctl, STDIN_FILENO, TCGETS, as_long(settings.bytes)) == 0;
}

void restore_terminal(const TerminalSettings& settings) {
    if (settings.saved) raw_call(SYS_ioctl, STDIN_FILENO, TCSETSW, as_long(settings.bytes));
}

}  // namespace substrate::start
