#include "sys/landlock.hpp"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace substrate::sys {
namespace {

struct RulesetAttributes {
    std::uint64_t handled_access_fs;
    std::uint64_t handled_access_net;
    std::uint64_t scoped;
};
struct __attribute__((packed)) PathBeneathAttributes {
    std::uint64_t allowed_access;
    std::int32_t parent_fd;
};
struct NetPortAttributes {
    std::uint64_t allowed_access;
    std::uint64_t port;
};
constexpr int kRulePathBeneath = 1;
constexpr int kRuleNetPort = 2;

constexpr std::uint64_t bit(FsRight right) { return static_cast<std::uint64_t>(right); }

// What can be done with a file; the kernel takes no other rights for one.
constexpr std::uint64_t kFileRights = bit(FsRight::execute) | bit(FsRight::write_file) |
                                      bit(FsRight::read_file) | bit(FsRight::truncate) |
                                      bit(FsRight::ioctl_dev);

}  // namespace

int landlock_abi() {
    constexpr unsigned kCreateRulesetVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, kCreateRulesetVersion);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

std::uint64_t known_fs_rights(std::uint64_t rights, int abi) {
    if (abi < 1) return 0;
    if (abi < 2) rights &= ~bit(FsRight::refer);
    if (abi < 3) rights &= ~bit(FsRight::truncate);
    if (abi < 5) rights &= ~bit(FsRight::ioctl_dev);
    return rights;
}

Result<LandlockRuleset> LandlockRuleset::create(std::uint64_t handled, std::uint64_t scoped,
                                                std::uint64_t handled_net) {
    // An older kernel takes a longer structure whose rest is zero.
    const RulesetAttributes attributes{
        .handled_access_fs = handled, .handled_access_net = handled_net, .scoped = scoped};
    UniqueFd fd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
    if (!fd) return fail(Error::last_os("landlock_create_ruleset"));
    return LandlockRuleset(std::move(fd), handled);
}

Result<bool> LandlockRuleset::allow_beneath(int fd, std::uint64_t rights) {
    struct ::stat st{};
    if (::fstat(fd, &st) != 0) return fail(Error::last_os("fstat"));
    if (!S_ISDIR(st.st_mode)) rights &= kFileRights;
    const PathBeneathAttributes rule{.allowed_access = rights & handled_, .parent_fd = fd};
    if (rule.allowed_access == 0) return true;
    if (::syscall(SYS_landlock_add_rule, fd_.get(), kRulePathBeneath, &rule, 0) == 0) return true;
    // EBADFD: on no file system that has paths.
    if (errno == EBADFD) return false;
    return fail(Error::last_os("landlock_add_rule"));
}

Result<> LandlockRuleset::allow_port(std::uint16_t port, std::uint64_t rights) {
    const NetPortAttributes rule{.allowed_access = rights, .port = port};
    if (::syscall(SYS_landlock_add_rule, fd_.get(), kRuleNetPort, &rule, 0) == 0) return {};
    return fail(Error::last_os("landlock_add_rule for a port"));
}

Result<> LandlockRuleset::restrict_self() const {
    if (::syscall(SYS_landlock_restrict_self, fd_.get(), 0) == 0) return {};
    return fail(Error::last_os("landlock_restrict_self"));
}

}  // namespace substrate::sys
