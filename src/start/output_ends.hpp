#pragma once

#include <sys/types.h>

#include <cstdint>

namespace substrate::start {

// How what a command writes into one of our streams is observed.
enum class StreamKind : std::uint8_t {
    untouched,  // not at all: the command gets the stream itself
    relayed,    // a pipe or socket: the command gets a pipe of ours
    file,       // a regular file: it is read when the command has ended
};

struct StreamEnds {
    int target = -1;
    StreamKind kind = StreamKind::untouched;
    bool target_is_pipe = false;
    int read_end = -1;          // relayed: ours, does not block; owned by whoever opened it
    int write_end = -1;         // relayed: the command's; owned by the same
    off_t file_start = 0;       // file: where the command's output begins
    bool file_goes_on = false;  // file: old bytes lie behind the start
};

// Standard output and error. Merged: one pipe or file is behind both, and `out` stands
// for the two (through two pipes of ours their order would be lost).
struct OutputEnds {
    StreamEnds out;
    StreamEnds err;
    bool merged = false;

    bool observed() const { return out.kind != StreamKind::untouched || err.kind != StreamKind::untouched; }
    // What the command gets as its standard output and error.
    int stdout_fd() const { return out.kind == StreamKind::relayed ? out.write_end : out.target; }
    int stderr_fd() const {
        if (merged && out.kind == StreamKind::relayed) return stdout_fd();
        return err.kind == StreamKind::relayed ? err.write_end : err.target;
    }
};

// Looks at descriptors 1 and 2 and makes the pipes. A terminal is relayed only where
// that is asked for. 0, or -errno of pipe2(2) or fcntl(2): then nothing is left open.
long open_output(bool relay_terminals, bool force_merged, OutputEnds& ends);

void close_output(const OutputEnds& ends);

}  // namespace substrate::start
