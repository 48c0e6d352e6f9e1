#pragma once

#include <poll.h>
#include <termios.h>
#include <xxhash.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"

namespace substrate::shell {

// The person's terminal, by two descriptors of the caller.
struct PersonsTerminal {
    int keys = 0;    // standard input
    int screen = 1;  // standard output
    // Others write to it too, and rely on what it makes of newlines.
    bool shared = false;
};

// While it lives, the person's terminal is the other side of a terminal of a world: what is typed goes
// to its master, what its programs write comes back, and the person's terminal hands on every key as it is.
// The keys that interrupt and stop mean what the terminal in the world says. On its end the person's terminal
// is as it was.
class TerminalRelay {
  public:
    // `master` is non-blocking and the caller's.
    static Result<std::unique_ptr<TerminalRelay>> begin(int master, PersonsTerminal terminal = {});
    ~TerminalRelay();
    TerminalRelay(const TerminalRelay&) = delete;
    TerminalRelay& operator=(const TerminalRelay&) = delete;

    // For the caller's poll loop: adds two.
    void add_to(std::vector<pollfd>& polled) const;
    // Whatever can be moved without waiting for keys or output. False: the person's terminal is gone.
    bool move();
    // Whether the key that stops was typed since the last call, where nobody in the world would stop for it:
    // the kernel does not stop a process group without a shell of its session to continue it.
    bool take_stop_key() { return std::exchange(stop_typed_, false); }
    void note_stop_keys() { notes_stops_ = true; }
    // Gives the person's terminal back for a while, and takes it again.
    void pause();
    Result<> resume();
    // Gives the world's terminal the size of the person's.
    void copy_size() const;
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
    TerminalRelay(int master, PersonsTerminal terminal) : master_(master), terminal_(terminal) {}
    bool read_keys();
    void write_keys();
    bool show_output();

    int master_;
    PersonsTerminal terminal_;
    termios before_{};
    bool raw_ = false;
    bool notes_stops_ = false;
    bool stop_typed_ = false;
    bool hung_up_ = false;  // nobody holds the other end
    std::string keys_;      // for the world's terminal
    std::string tail_;      // of the output
    std::unique_ptr<XXH3_state_t, FreeHash> hash_;
    std::uint64_t bytes_ = 0;
};

// Shows what a world's terminal has to show now, on standard output. False: nobody holds its other end.
bool show_pending_output(int master);
// Gives it the size of the person's terminal.
void copy_window_size(int master, int terminal = 0);

}  // namespace substrate::shell
