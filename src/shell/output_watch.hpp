#pragma once

#include <poll.h>
#include <xxhash.h>

#include <memory>
#include <vector>

#include "base/result.hpp"
#include "model/span.hpp"
#include "start/output_ends.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::shell {

// Hashes what a command writes without changing what arrives: a pipe or socket is fed
// through one of ours (by tee(2) where both are pipes: nothing is copied but what
// is hashed), a regular file is read afterwards, a terminal is left alone. A file that
// may not be read gets no hash.
class OutputWatch {
  public:
    enum class Terminals { leave_alone, relay };
    // `force_merged`: both streams through one pipe, into standard output.
    static Result<OutputWatch> make(Terminals terminals, bool force_merged);
    // With streams that were opened before; owns the pipes from here on.
    static OutputWatch adopt(const start::OutputEnds& ends);

    OutputWatch(OutputWatch&&) noexcept;
    ~OutputWatch();

    bool observes() const;
    // What the command gets as its standard output and error.
    int stdout_fd() const { return command_out_; }
    int stderr_fd() const { return command_err_; }
    // Once the command has them: our copies would keep the pipes open.
    void close_command_ends();

    // For the caller's poll loop.
    void add_to(std::vector<pollfd>& polled) const;
    Result<> move();  // whatever can be moved without waiting
    // After the command has ended: moves what is left in the pipes, waiting for
    // their readers, and returns the record.
    Result<OutputRecord> finish();
    // Streams that background processes still hold: source and target, to be
    // relayed by somebody who stays.
    struct Leftover {
        int source;
        int target;
    };
    std::vector<Leftover> leftovers() const;

  private:
    struct Stream;
    explicit OutputWatch(const start::OutputEnds& ends);
    std::unique_ptr<Stream> out_;
    std::unique_ptr<Stream> err_;
    int command_out_;
    int command_err_;
    bool merged_;
};

}  // namespace substrate::shell
