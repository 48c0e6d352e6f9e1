#include "sys/host_env.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace substrate::sys {
namespace {

std::int64_t read_clock(clockid_t clock) {
    timespec t{};
    ::clock_gettime(clock, &t);
    return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace

std::int64_t HostEnv::realtime_ns() const { return read_clock(CLOCK_REALTIME); }
std::int64_t HostEnv::monotonic_ns() const { return read_clock(CLOCK_MONOTONIC); }

void HostEnv::random(std::span<std::uint8_t> bytes) const {
    // getrandom(2): requests of up to 256 bytes are never cut short once the pool is ready.
    while (!bytes.empty()) {
        const ssize_t n = ::getrandom(bytes.data(), bytes.size(), 0);
        if (n > 0) bytes = bytes.subspan(static_cast<std::size_t>(n));
        else if (errno != EINTR) std::abort();
    }
}

std::optional<std::string> HostEnv::variable(std::string_view name) const {
    const char* value = std::getenv(std::string(name).c_str());
    if (value == nullptr) return std::nullopt;
    return std::string(value);
}

}  // namespace substrate::sys
