#pragma once

#include "base/env.hpp"

namespace substrate::sys {

// The real clocks, getrandom(2) and the process environment.
class HostEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override;
    std::int64_t monotonic_ns() const override;
    void random(std::span<std::uint8_t> bytes) const override;
    std::optional<std::string> variable(std::string_view name) const override;
};

}  // namespace substrate::sys
