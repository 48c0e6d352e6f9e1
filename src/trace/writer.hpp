#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "trace/record.hpp"

namespace substrate::trace {

enum class Fsync : std::uint8_t { never, span, always };  // span: after each command_complete

struct WriterOptions {
    std::uint64_t max_bytes = 100u << 20;  // a file that would grow beyond is rotated first
    unsigned keep = 5;                     // rotated files; at least 1
    Fsync fsync = Fsync::never;
    std::size_t max_record = 64u << 10;  // bytes of a line; at least 8 KiB. What is larger goes to blobs
};

// The only way into the trace. Any number of writers, threads and processes may
// append to one directory: a lock in it orders appends and rotations. Survives
// rotation by others. A writer must not be used on both sides of a fork.
class TraceWriter {
  public:
    // Creates the directory (0700) and the files (0600). A trace file or directory
    // that is a link, belongs to another user or, for the directory, can be
    // written by others is Errc::safety.
    static Result<TraceWriter> open(const std::string& directory, const WriterOptions& options = {});

    // When it returns without error, the record is in the file as one whole line
    // (and on disk, if so asked); with an error (ENOSPC, …) nothing of it is.
    Result<> append(Record record);
    Result<> append(const Span& span) { return append(prepare(span)); }
    Result<> append(const Event& event);

    // Is shown every event that comes from now on as it is recorded, without secrets, in the thread of
    // whoever appends it, whether or not it can be written; null: nobody is. It must not append. When this
    // returns, the one before is not running any more.
    using Observer = std::function<void(const Event& event, const Json& record)>;
    void observe(Observer observer);

    TraceWriter(TraceWriter&&) noexcept;
    TraceWriter& operator=(TraceWriter&&) noexcept;
    ~TraceWriter();

  private:
    struct State;
    explicit TraceWriter(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace substrate::trace
