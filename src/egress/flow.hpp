#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "egress/meter.hpp"
#include "sys/pipe.hpp"

namespace substrate::egress {

// One direction of a connection: bytes from one socket to another through a pipe, without copying them
// (splice(2)). Neither socket blocks.
class Flow {
  public:
    // `meter` says how many bytes may be taken in, and must live longer.
    static Result<Flow> make(Meter& meter);

    // These go first, before anything that is moved.
    void put_first(std::string_view bytes);
    // There was no budget for what came.
    bool exhausted() const { return exhausted_; }
    // What comes has to wait for the meter.
    bool throttled() const { return throttled_; }
    // Moves what can be moved. False: the connection is broken.
    bool move(int from, int to);
    // The same without reading: for a source whose bytes are put_first() one by one.
    bool flush(int to);
    void end_source() { source_ended_ = true; }
    // No more comes from the source, and all has gone on: its peer was told so.
    bool ended() const { return ended_; }
    bool source_ended() const { return source_ended_; }
    // What has to happen before move() can do more.
    bool wants_to_read() const { return !source_ended_ && !throttled_ && in_pipe_ == 0 && first_.empty(); }
    bool wants_to_write() const { return in_pipe_ > 0 || !first_.empty(); }
    std::uint64_t bytes() const { return bytes_; }  // gone on so far

  private:
    Flow(sys::Pipe pipe, Meter& meter) : pipe_(std::move(pipe)), meter_(&meter) {}
    bool write_first(int to, bool& blocked);

    sys::Pipe pipe_;
    Meter* meter_;
    bool exhausted_ = false;
    bool throttled_ = false;
    std::string first_;
    std::size_t in_pipe_ = 0;
    std::uint64_t bytes_ = 0;
    bool source_ended_ = false;
    bool ended_ = false;
};

}  // namespace substrate::egress
