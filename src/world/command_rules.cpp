#include "world/command_rules.hpp"

#include <fcntl.h>

#include "sys/file.hpp"

namespace substrate::world {
namespace {

using sys::FsRight;

constexpr std::uint64_t rights(std::initializer_list<FsRight> list) {
    std::uint64_t all = 0;
    for (const FsRight right : list) all |= static_cast<std::uint64_t>(right);
    return all;
}

constexpr std::uint64_t kReading = rights({FsRight::execute, FsRight::read_file, FsRight::read_dir});
constexpr std::uint64_t kWriting =
    rights({FsRight::write_file, FsRight::remove_dir, FsRight::remove_file, FsRight::make_dir,
            FsRight::make_reg, FsRight::make_sock, FsRight::make_fifo, FsRight::make_sym, FsRight::refer,
            FsRight::truncate, FsRight::ioctl_dev});
// Nowhere: a command has no need of device nodes.
constexpr std::uint64_t kNowhere = rights({FsRight::make_char, FsRight::make_block});

std::uint64_t handled_by(const plan::LandlockPlan& landlock) {
    return sys::known_fs_rights(kWriting | kNowhere | (landlock.restricts_reading ? kReading : 0),
                                landlock.abi);
}

std::uint64_t scopes_of(const plan::LandlockPlan& landlock) {
    if (landlock.abi < 6) return 0;
    const auto sockets = static_cast<std::uint64_t>(sys::LandlockScope::abstract_unix_socket);
    return landlock.scopes_signals ? sockets | static_cast<std::uint64_t>(sys::LandlockScope::signal)
                                   : sockets;
}

constexpr auto kConnect = static_cast<std::uint64_t>(sys::NetRight::connect_tcp);

}  // namespace

std::uint32_t restrict_flags(const plan::LandlockPlan& landlock, SeccompMode seccomp) {
    constexpr int kLogAbi = 7;
    if (landlock.abi < kLogAbi) return 0;
    const auto quiet = static_cast<std::uint32_t>(sys::LandlockLog::subdomains_off);
    const auto told = static_cast<std::uint32_t>(sys::LandlockLog::new_exec_on);
    return seccomp == SeccompMode::log ? quiet | told : quiet;
}

Result<> CommandRules::open_places() {
    if (opened_) return {};
    const auto open_all = [&](const std::vector<WorldPath>& paths, std::uint64_t allowed) -> Result<> {
        for (const WorldPath& path : paths) {
            auto fd = sys::open_path(path.c_str(), O_PATH);
            // Not mounted because the host has no such thing, or none that a command could reach.
            if (!fd && (fd.error().os_errno() == ENOENT || fd.error().os_errno() == EACCES)) continue;
            if (!fd) return fail(std::move(fd).error());
            places_.push_back({std::move(*fd), allowed});
        }
        return {};
    };
    SUB_TRY(open_all(landlock_.writable, kReading | kWriting));
    SUB_TRY(open_all(landlock_.readable, kReading));
    opened_ = true;
    return {};
}

Result<> CommandRules::prepare() {
    if (!in_use() || next_) return {};
    SUB_TRY(open_places());
    SUB_TRY_ASSIGN(sys::LandlockRuleset rules,
                   sys::LandlockRuleset::create(handled_by(landlock_), scopes_of(landlock_),
                                                landlock_.tcp_ports ? kConnect : 0));
    for (const Place& place : places_) SUB_TRY(rules.allow_beneath(place.fd.get(), place.rights));
    for (const std::uint16_t port : landlock_.tcp_ports.value_or(std::vector<std::uint16_t>{}))
        SUB_TRY(rules.allow_port(port, kConnect));
    next_ = std::move(rules);
    return {};
}

Result<> CommandRules::allow_project(sys::LandlockRuleset& rules, const CaptureMount& mount) const {
    SUB_TRY(rules.allow_beneath(mount.fd(), capture_.read_only ? kReading : kReading | kWriting));
    for (const std::string& part : capture_.writable) {
        auto fd = sys::open_beneath(mount.fd(), part, O_PATH);
        if (!fd && (fd.error().os_errno() == ENOENT || fd.error().os_errno() == EACCES)) continue;
        if (!fd) return fail(std::move(fd).error());
        SUB_TRY(rules.allow_beneath(fd->get(), kReading | kWriting));
    }
    return {};
}

Result<sys::LandlockRuleset> CommandRules::take(const CaptureMount& mount,
                                                std::span<const sys::UniqueFd> stdio) {
    SUB_TRY(prepare());
    sys::LandlockRuleset rules = std::move(*next_);
    next_.reset();
    SUB_TRY(allow_project(rules, mount));
    // What a command was given it may open again, as it was given: /dev/stderr, /proc/self/fd/1.
    for (const sys::UniqueFd& stream : stdio) {
        SUB_TRY_ASSIGN(const int flags, sys::open_flags(stream.get()));
        const int access = flags & O_ACCMODE;
        SUB_TRY(rules.allow_beneath(
            stream.get(), (access == O_WRONLY ? 0 : kReading) | (access == O_RDONLY ? 0 : kWriting)));
    }
    return rules;
}

}  // namespace substrate::world
