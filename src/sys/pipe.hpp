#pragma once

#include <cstddef>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};
// pipe2(2), close-on-exec.
Result<Pipe> make_pipe();

struct TeeResult {
    std::size_t moved = 0;
    int os_errno = 0;  // with moved == 0: 0 at the end of the input, EAGAIN, EPIPE, …
};
// tee(2), never waiting: duplicates up to `size` bytes into another pipe without taking
// them out of the first.
TeeResult tee_pipe(int from, int to, std::size_t size);

}  // namespace substrate::sys
