#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace substrate {

inline constexpr std::size_t kMaxFrameBytes = 1u << 20;

// The payload after its length as a 32-bit little-endian number. A payload over
// kMaxFrameBytes makes a frame that every FrameReader refuses.
std::string frame(std::string_view payload);

// Cuts a byte stream into the payloads of its frames. Holds at most one
// incomplete frame and what was fed after it.
class FrameReader {
  public:
    explicit FrameReader(std::size_t max_payload = kMaxFrameBytes) : max_payload_(max_payload) {}

    void feed(std::string_view bytes);
    // The next complete payload, or nullopt until more is fed. A length over the
    // cap is Errc::invalid, now and on every later call: the stream has no next frame.
    Result<std::optional<std::string>> take();
    // Bytes fed and not yet taken.
    std::size_t pending() const { return buffer_.size() - at_; }

  private:
    std::string buffer_;
    std::size_t at_ = 0;  // everything before it has been taken
    std::size_t max_payload_;
};

}  // namespace substrate
