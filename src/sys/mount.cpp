#include "sys/mount.hpp"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif

namespace substrate::sys {
namespace {

// An error with what the file system context has to say: fsopen(2), "Message retrieval".
Error context_error(int context, std::string_view operation, std::string_view subject) {
    Error error = Error::last_os(operation, subject);
    char message[512];
    const ssize_t n = ::read(context, message, sizeof message);
    if (n <= 0) return error;
    std::string text(message, static_cast<std::size_t>(n));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
    // The kernel puts the weight before it: "e ", "w " or "i ".
    if (text.size() > 2 && text[1] == ' ') text.erase(0, 2);
    return std::move(error).during(std::move(text));
}

Result<> change_attributes(int fd, mount_attr attr, bool recursive) {
    const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
    if (::syscall(SYS_mount_setattr, fd, "", flags, &attr, sizeof attr) != 0)
        return fail(Error::last_os("mount_setattr"));
    return {};
}

}  // namespace

Result<UniqueFd> mount_new(const char* type, std::span<const FsOption> options, std::uint64_t attributes) {
    const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)));
    if (!context) return fail(Error::last_os("fsopen", type));
    for (const FsOption& option : options) {
        const int command = option.is_flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
        const char* value = option.is_flag ? nullptr : option.value.c_str();
        if (::syscall(SYS_fsconfig, context.get(), command, option.key, value, 0) != 0)
            return fail(context_error(context.get(), "fsconfig", std::string(type) + " " + option.key));
    }
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return fail(context_error(context.get(), "fsconfig create", type));
    UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
    if (!mount) return fail(context_error(context.get(), "fsmount", type));
    return mount;
}

Result<> forget_names(int fd) {
    const UniqueFd context(
        static_cast<int>(::syscall(SYS_fspick, fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)));
    if (!context) return fail(Error::last_os("fspick"));
    if (::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0)
        return fail(context_error(context.get(), "fsconfig reconfigure", ""));
    return {};
}

Result<UniqueFd> clone_tree(int dir, const std::string& path, bool recursive) {
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    if (path.empty()) flags |= AT_EMPTY_PATH;
    if (recursive) flags |= AT_RECURSIVE;
    UniqueFd tree(static_cast<int>(::syscall(SYS_open_tree, dir, path.c_str(), flags)));
    if (!tree) return fail(Error::last_os("open_tree", path));
    return tree;
}

Result<> set_attributes(int fd, std::uint64_t attributes, bool recursive) {
    mount_attr attr{};
    attr.attr_set = attributes;
    return change_attributes(fd, attr, recursive);
}

Result<> clear_attributes(int fd, std::uint64_t attributes, bool recursive) {
    mount_attr attr{};
    attr.attr_clr = attributes;
    return change_attributes(fd, attr, recursive);
}

Result<> attach(int mount, int dir, const std::string& path) {
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH;
    if (path.empty()) flags |= 0x00000040;  // MOVE_MOUNT_T_EMPTY_PATH
    if (::syscall(SYS_move_mount, mount, "", dir, path.c_str(), flags) != 0)
        return fail(Error::last_os("move_mount", path));
    return {};
}

Result<> make_all_private() {
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return fail(Error::last_os("mount MS_PRIVATE", "/"));
    return {};
}

Result<> detach_mount(int fd) {
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    if (::umount2(path.c_str(), MNT_DETACH) != 0) return fail(Error::last_os("umount2"));
    return {};
}

Result<> pivot_into(const std::string& new_root) {
    // pivot_root(2), "pivot_root(".", ".")": the old root is stacked on the new
    // one and can be detached without a directory of its own.
    if (::chdir(new_root.c_str()) != 0) return fail(Error::last_os("chdir", new_root));
    if (::syscall(SYS_pivot_root, ".", ".") != 0) return fail(Error::last_os("pivot_root", new_root));
    if (::chdir("/") != 0) return fail(Error::last_os("chdir", "/"));
    return {};
}

}  // namespace substrate::sys
