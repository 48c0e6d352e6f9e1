#pragma once

#include <poll.h>
#include <termios.h>
#include <xxhash.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"

namespace substrate::shell {

// While it lives, standard input and output are the other side of a terminal of a world: what is typed goes
// to its master, what its programs write comes back, and the person's terminal hands on every key as it is.
// The keys that interrupt and stop mean what the terminal in the world says. On its end the person's terminal
// is as it was.
class TerminalRelay {
  public:
    // `master` is non-blocking and the caller's.
    static Result<std::unique_ptr<TerminalRelay>> begin(int master);
    ~TerminalRelay();
    TerminalRelay(const TerminalRelay&) = delete;
    TerminalRelay& operator=(const TerminalRelay&) = delete;

    // For the caller's poll loop: adds two.
    void add_to(std::vector<pollfd>& polled) const;
    // Whatever can be moved without waiting for keys or output. False: the person's terminal is gone.
    bool move();
    // The command has ended: shows what is left. What it wrote, as its terminal showed it.
    OutputRecord finish();
    // After that: keys that no program has read, and are for whoever reads next.
    std::string take_unread();
    // Whether the cursor stands behind text of the command, as far as can be told.
    bool line_open() const;

  private:
    struct FreeHash {
        void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
    };
    explicit TerminalRelay(int master) : master_(master) {}
    bool read_keys();
    void write_keys();
    bool show_output();

    int master_;
    termios before_{};
    bool raw_ = false;
    bool hung_up_ = false;  // nobody holds the other end
    std::string keys_;      // for the world's terminal
    std::string tail_;      // of the output
    std::unique_ptr<XXH3_state_t, FreeHash> hash_;
    std::uint64_t bytes_ = 0;
};

// Shows what a world's terminal has to show now, on standard output. False: nobody holds its other end.
bool show_pending_output(int master);
// Gives it the size of the person's terminal.
void copy_window_size(int master);

}  // namespace substrate::shell
