#pragma once

#include <deque>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "sys/dir_watch.hpp"
#include "trace/layout.hpp"
#include "trace/line_scan.hpp"
#include "trace/reader.hpp"

namespace substrate::trace {

// The records of a trace as they are appended, across rotations, none twice.
class TraceFollower {
  public:
    enum class From { oldest, now };
    // `stop_fd` ends a wait when it becomes readable; -1 for none. It stays the caller's.
    static Result<TraceFollower> open(const std::string& directory, From from, TraceFilter filter = {},
                                      int stop_fd = -1);

    // Waits for the next accepted record; nullopt when stopped.
    Result<std::optional<Json>> next();
    // Without waiting: nullopt when there is none now.
    Result<std::optional<Json>> poll();

    // Damaged lines that were passed over since the last call.
    std::vector<Skipped> take_skipped() { return std::exchange(skipped_, {}); }

  private:
    TraceFollower(sys::UniqueFd dir, sys::DirWatch watch, TraceFilter filter, int stop_fd)
        : dir_(std::move(dir)), watch_(std::move(watch)), filter_(std::move(filter)), stop_fd_(stop_fd) {}
    std::optional<Json> take(const Line& line);
    Result<bool> advance();
    Result<> start(From from);
    void use(TraceFile file, std::uint64_t offset);

    sys::UniqueFd dir_;
    sys::DirWatch watch_;
    TraceFilter filter_;
    int stop_fd_;
    std::optional<TraceFile> file_;
    std::optional<ForwardLines> lines_;
    std::vector<Skipped> skipped_;
};

}  // namespace substrate::trace
