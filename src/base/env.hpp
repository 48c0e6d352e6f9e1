#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace substrate {

// What a library may ask of its surroundings: clocks, randomness and the
// process environment. sys/host_env.hpp has the real one; tests bring their own.
class Env {
  public:
    virtual ~Env() = default;
    // Nanoseconds since the Unix epoch, CLOCK_REALTIME.
    virtual std::int64_t realtime_ns() const = 0;
    // Nanoseconds, CLOCK_MONOTONIC.
    virtual std::int64_t monotonic_ns() const = 0;
    // Fills `bytes` from the kernel's random source.
    virtual void random(std::span<std::uint8_t> bytes) const = 0;
    virtual std::optional<std::string> variable(std::string_view name) const = 0;
};

}  // namespace substrate
