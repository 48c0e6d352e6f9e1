#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace substrate::agent {

// The end of a stream of bytes: what is older than kMost is dropped.
class OutputRing {
  public:
    static constexpr std::size_t kMost = 1u << 20;

    void append(std::string_view bytes) {
        total_ += bytes.size();
        if (bytes.size() > kMost) bytes.remove_prefix(bytes.size() - kMost);
        kept_ += bytes;
        // In halves, so that no byte is moved more than once on average.
        if (kept_.size() > 2 * kMost) kept_.erase(0, kept_.size() - kMost);
    }
    // How many bytes there have been.
    std::uint64_t total() const { return total_; }

    struct Rest {
        std::string_view bytes;  // until the next append()
        std::uint64_t lost = 0;  // asked for, and dropped already
    };
    // Everything after the first `offset` bytes, at most kMost of it.
    Rest after(std::uint64_t offset) const {
        const std::uint64_t kept = std::min<std::uint64_t>(kept_.size(), kMost);
        offset = std::min(offset, total_);
        const std::uint64_t wanted = total_ - offset;
        const std::uint64_t given = std::min(wanted, kept);
        return {.bytes = std::string_view(kept_).substr(kept_.size() - given), .lost = wanted - given};
    }

  private:
    std::string kept_;
    std::uint64_t total_ = 0;
};

}  // namespace substrate::agent
