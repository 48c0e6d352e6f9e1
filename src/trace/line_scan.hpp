#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::trace {

inline constexpr std::size_t kLongestLine = 16u << 20;

struct Line {
    std::string_view text;     // without the newline; valid until the next call
    std::uint64_t offset = 0;  // of its first byte
    std::uint64_t number = 0;  // from 1; 0 when read backwards
    bool terminated = true;    // false for a last line without a newline
    bool too_long = false;     // longer than kLongestLine: text is empty
};

// The lines of a file from `offset` on. At the end of the file next() gives
// nothing for now; what is appended later comes from later calls. A last line
// without a newline is held back until take_rest().
class ForwardLines {
  public:
    explicit ForwardLines(int fd, std::uint64_t offset = 0) : fd_(fd), read_to_(offset) {}

    Result<std::optional<Line>> next();
    // The last, unterminated line, if there is one.
    std::optional<Line> take_rest();

  private:
    std::uint64_t line_start() const { return read_to_ - (buffer_.size() - used_); }

    int fd_;
    std::string buffer_;       // the file's bytes up to read_to_
    std::size_t used_ = 0;     // already returned
    std::size_t scanned_ = 0;  // no newline in [used_, scanned_)
    std::uint64_t read_to_;
    std::uint64_t number_ = 0;
    bool skipping_ = false;  // inside a line that is too long, which began at skip_from_
    std::uint64_t skip_from_ = 0;
};

// The lines of a file from its end at the time of construction to its start.
class BackwardLines {
  public:
    BackwardLines(int fd, std::uint64_t size) : fd_(fd), window_at_(size), left_(size) {}

    Result<std::optional<Line>> next();

  private:
    Result<> load_before();

    int fd_;
    std::string window_;  // the file's bytes from window_at_ on
    std::uint64_t window_at_;
    std::uint64_t left_;  // bytes of the file before the last line returned
};

// What a line holds: nothing (blank), a record (a JSON object with an
// event_type), or neither, and then why.
struct Decoded {
    std::optional<Json> record;
    std::string problem;
};
Decoded decode(const Line& line);

}  // namespace substrate::trace
