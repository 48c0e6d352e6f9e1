// Putting words into a terminal's mouth: terminal VARIANT WHERE, where WHERE is `stdin`
// or `own`, a pseudo-terminal made here.

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "payload.h"

static int own_terminal(void) {
    const int leader = posix_openpt(O_RDWR | O_NOCTTY);
    if (leader < 0) not_here("a pseudo-terminal");
    grantpt(leader);
    unlockpt(leader);
    const char* name = ptsname(leader);
    setsid();
    const int fd = name == NULL ? -1 : open(name, O_RDWR);
    if (fd < 0) not_here("open a pseudo-terminal");
    ioctl(fd, TIOCSCTTY, 0);
    return fd;
}

int main(int argc, char** argv) {
    if (argc < 3) broken("terminal VARIANT WHERE");
    const int fd = is(argv[2], "own") ? own_terminal() : STDIN_FILENO;
    if (!isatty(fd)) broken("not a terminal");
    char letter = ' ';
    char selection[2] = {6, 0};  // TIOCL_GETSHIFTSTATE
    if (is(argv[1], "sti")) judge(ioctl(fd, TIOCSTI, &letter), "TIOCSTI");
    // The kernel reads 32 bits of the request.
    if (is(argv[1], "sti_high"))
        judge(syscall(SYS_ioctl, fd, 0x100000000UL | TIOCSTI, &letter), "TIOCSTI with more bits");
    if (is(argv[1], "linux")) judge(ioctl(fd, TIOCLINUX, selection), "TIOCLINUX");
    if (is(argv[1], "linux_high"))
        judge(syscall(SYS_ioctl, fd, 0xffffffff00000000UL | TIOCLINUX, selection),
              "TIOCLINUX with more bits");
    if (is(argv[1], "controlling")) judge(ioctl(fd, TIOCSCTTY, 1), "steal the controlling terminal");
    if (is(argv[1], "dev_tty")) judge(open("/dev/tty", O_RDWR), "the caller's terminal by /dev/tty");
    if (is(argv[1], "console")) judge(ioctl(fd, TIOCCONS, 0), "redirect the console");
    broken("unknown variant");
}
