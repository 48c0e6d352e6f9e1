#include "codec/frame.hpp"

#include <cstdint>

namespace substrate {
namespace {

constexpr std::size_t kHeader = 4;

}  // namespace

std::string frame(std::string_view payload) {
    std::string bytes;
    bytes.reserve(kHeader + payload.size());
    for (unsigned shift = 0; shift < 32; shift += 8)
        bytes += static_cast<char>((payload.size() >> shift) & 0xff);
    bytes += payload;
    return bytes;
}

void FrameReader::feed(std::string_view bytes) {
    // Moving the rest to the front only when it is the smaller half keeps many
    // small frames in one large feed linear.
    if (at_ > buffer_.size() / 2) {
        buffer_.erase(0, at_);
        at_ = 0;
    }
    buffer_ += bytes;
}

Result<std::optional<std::string>> FrameReader::take() {
    if (pending() < kHeader) return std::nullopt;
    std::size_t length = 0;
    for (unsigned i = 0; i < kHeader; ++i)
        length |= static_cast<std::size_t>(static_cast<unsigned char>(buffer_[at_ + i])) << (8 * i);
    if (length > max_payload_)
        return fail({Errc::invalid, "a frame of " + std::to_string(length) + " bytes; at most " +
                                        std::to_string(max_payload_) + " are allowed"});
    if (pending() < kHeader + length) return std::nullopt;
    std::string payload = buffer_.substr(at_ + kHeader, length);
    at_ += kHeader + length;
    return payload;
}

}  // namespace substrate
