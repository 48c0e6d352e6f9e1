// diff_walk_bench DIRECTORY FILES PAIRS [--upper-only]
//
// Makes FILES files in 100 directories of DIRECTORY/upper and as many in DIRECTORY/lower,
// each different from its counterpart, and times the diff of the two (walk_overlay and
// DiffBuilder) in turn with a bare walk: getdents64 and statx, nothing kept. Prints for each
// pair the nanoseconds of the diff and of the bare walk, then the peak resident set.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>

#include "capture/diff_builder.hpp"
#include "capture/overlay_walk.hpp"
#include "sys/unique_fd.hpp"

namespace {

using namespace substrate;

constexpr int kDirectories = 100;
// Roughly what the paths of a source tree look like.
constexpr const char* kDirectoryName = "component_%03d";
constexpr const char* kFileName = "source_file_%06d.cpp";

// Benchmarks have no caller that could act on a failure.
int checked(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
    return result;
}

void make_tree(int parent, const char* name, int files, off_t size) {
    checked(::mkdirat(parent, name, 0755), name);
    const sys::UniqueFd root(checked(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), name));
    std::array<char, 64> text{};
    for (int d = 0; d < kDirectories; ++d) {
        std::snprintf(text.data(), text.size(), kDirectoryName, d);
        checked(::mkdirat(root.get(), text.data(), 0755), "mkdirat");
        const sys::UniqueFd dir(
            checked(::openat(root.get(), text.data(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat"));
        for (int f = d; f < files; f += kDirectories) {
            std::snprintf(text.data(), text.size(), kFileName, f);
            const sys::UniqueFd file(checked(
                ::openat(dir.get(), text.data(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), "create"));
            checked(::ftruncate(file.get(), size), "ftruncate");
        }
    }
    checked(::syncfs(root.get()), "syncfs");
}

// The floor: what no diff by metadata can do without. Returns the number of entries.
std::uint64_t bare_walk(int dir) {
    alignas(dirent64) std::array<char, 32 * 1024> buffer;
    std::uint64_t entries = 0;
    checked(static_cast<int>(::lseek(dir, 0, SEEK_SET)), "lseek");
    for (;;) {
        const ssize_t size = ::getdents64(dir, buffer.data(), buffer.size());
        checked(static_cast<int>(size), "getdents64");
        if (size == 0) return entries;
        for (ssize_t at = 0; at < size;) {
            const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
            at += entry->d_reclen;
            const char* name = entry->d_name;
            if (std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0) continue;
            struct ::statx st{};
            checked(::statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
                            STATX_BASIC_STATS | STATX_BTIME, &st),
                    "statx");
            ++entries;
            if (entry->d_type != DT_DIR) continue;
            const sys::UniqueFd below(
                checked(::openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name));
            entries += bare_walk(below.get());
        }
    }
}

std::uint64_t diff(int upper, int lower) {
    capture::DiffBuilder builder;
    const capture::OverlayLayers layers{.upper = upper, .lowers = {lower}};
    const auto walked =
        capture::walk_overlay(layers, [&](const capture::Change& change) { return builder.add(change); });
    if (!walked) throw std::runtime_error(walked.error().message());
    return builder.finish().files;
}

std::int64_t nanoseconds_of(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
}

std::string peak_resident() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return line.substr(line.find_first_of("0123456789"));
    return "unknown";
}

void measure(const char* directory, int files, int pairs, bool upper_only) {
    const sys::UniqueFd base(checked(::open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), directory));
    make_tree(base.get(), "upper", files, 1);
    make_tree(base.get(), "lower", upper_only ? 0 : files, 0);
    const sys::UniqueFd upper(
        checked(::openat(base.get(), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "upper"));
    const sys::UniqueFd lower(
        checked(::openat(base.get(), "lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "lower"));
    for (int pair = -1; pair < pairs; ++pair) {  // the first warms up
        std::array<std::int64_t, 2> elapsed{};
        for (int turn = 0; turn < 2; ++turn) {
            const int which = (turn + pair + 1) % 2;
            std::uint64_t found = 0;
            elapsed[which] = nanoseconds_of([&] {
                found = which == 0 ? diff(upper.get(), lower.get())
                                   : bare_walk(upper.get()) + bare_walk(lower.get());
            });
            const auto least = static_cast<std::uint64_t>(files);
            if (found < least)
                throw std::runtime_error("only " + std::to_string(found) + " entries were found");
        }
        if (pair >= 0)
            std::printf("pair %lld %lld\n", static_cast<long long>(elapsed[0]),
                        static_cast<long long>(elapsed[1]));
    }
    std::printf("peak %s\n", peak_resident().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4 || argc > 5) {
        std::fputs("usage: diff_walk_bench DIRECTORY FILES PAIRS [--upper-only]\n", stderr);
        return 2;
    }
    try {
        measure(argv[1], std::atoi(argv[2]), std::atoi(argv[3]), argc == 5);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "diff_walk_bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
