#include "start/output_ends.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/raw_call.hpp"

namespace substrate::start {
namespace {

using sys::as_long;
using sys::raw_call;

bool is_terminal(int fd) {
    char settings[64];  // struct termios of the kernel: 36 bytes
    return raw_call(SYS_ioctl, fd, TCGETS, as_long(settings)) == 0;
}

long open_pipe(StreamEnds& ends) {
    int fds[2];
    if (const long made = raw_call(SYS_pipe2, as_long(fds), O_CLOEXEC); made != 0) return made;
    // The command's end blocks as any pipe does; ours does not.
    if (const long set = raw_call(SYS_fcntl, fds[0], F_SETFL, O_NONBLOCK); set != 0) {
        raw_call(SYS_close, fds[0]);
        raw_call(SYS_close, fds[1]);
        return set;
    }
    ends.kind = StreamKind::relayed;
    ends.read_end = fds[0];
    ends.write_end = fds[1];
    return 0;
}

long open_stream(const struct ::stat& st, bool relay_terminals, StreamEnds& ends) {
    if (S_ISREG(st.st_mode)) {
        ends.kind = StreamKind::file;
        const long flags = raw_call(SYS_fcntl, ends.target, F_GETFL);
        ends.file_start =
            (flags & O_APPEND) != 0 ? st.st_size : raw_call(SYS_lseek, ends.target, 0, SEEK_CUR);
        ends.file_goes_on = ends.file_start < st.st_size;
        return 0;
    }
    ends.target_is_pipe = S_ISFIFO(st.st_mode);
    if (ends.target_is_pipe || S_ISSOCK(st.st_mode)) return open_pipe(ends);
    if (relay_terminals && S_ISCHR(st.st_mode) && is_terminal(ends.target)) return open_pipe(ends);
    return 0;
}

void close_stream(const StreamEnds& ends) {
    if (ends.read_end >= 0) raw_call(SYS_close, ends.read_end);
    if (ends.write_end >= 0) raw_call(SYS_close, ends.write_end);
}

}  // namespace

long open_output(bool relay_terminals, bool force_merged, OutputEnds& ends) {
    ends.out.target = STDOUT_FILENO;
    ends.err.target = STDERR_FILENO;
    struct ::stat out, err;
    // A closed stream: the command gets what there is.
    const bool has_out = raw_call(SYS_fstat, STDOUT_FILENO, as_long(&out)) == 0;
    const bool has_err = raw_call(SYS_fstat, STDERR_FILENO, as_long(&err)) == 0;
    const bool same =
        has_out && has_err && out.st_dev == err.st_dev && out.st_ino == err.st_ino && !S_ISCHR(out.st_mode);
    if (has_out)
        if (const long opened = open_stream(out, relay_terminals, ends.out); opened != 0) return opened;
    ends.merged = ends.out.kind != StreamKind::untouched && (same || force_merged);
    if (!has_err || ends.merged) return 0;
    const long opened = open_stream(err, relay_terminals, ends.err);
    if (opened != 0) close_stream(ends.out);
    return opened;
}

void close_output(const OutputEnds& ends) {
    close_stream(ends.out);
    close_stream(ends.err);
}

}  // namespace substrate::start
