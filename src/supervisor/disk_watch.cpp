#include "supervisor/disk_watch.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace substrate::supervisor {
namespace {

constexpr std::uint64_t kShare = 64;  // of a small disk
constexpr std::uint64_t kMostBytes = 64u << 20;
constexpr std::uint64_t kMostFiles = 4096;

}  // namespace

std::uint64_t DiskWatch::reserve_of(std::uint64_t total, std::uint64_t most) {
    return std::min(total / kShare, most);
}

DiskWatch::DiskWatch(int dir) : dir_(dir) {
    const auto space = sys::disk_space(dir);
    if (!space) return;
    const std::uint64_t bytes = reserve_of(space->bytes_total, kMostBytes);
    const std::uint64_t files = reserve_of(space->files_total, kMostFiles);
    if (space->bytes_left > bytes) bytes_reserve_ = bytes;
    if (space->files_left > files) files_reserve_ = files;
}

std::string DiskWatch::exhausted() const {
    const auto space = sys::disk_space(dir_);
    if (!space) return {};
    constexpr std::uint64_t kKiB = 1024;
    if (space->bytes_left < bytes_reserve_)
        return fmt::format("{} KiB of {} KiB are left", space->bytes_left / kKiB, space->bytes_total / kKiB);
    if (space->files_left < files_reserve_)
        return fmt::format("{} files of {} are left", space->files_left, space->files_total);
    return {};
}

}  // namespace substrate::supervisor
