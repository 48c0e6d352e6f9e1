// Changing what is mounted: mounts VARIANT [PATH].

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdint.h>

#include "payload.h"

// <sys/mount.h> and <linux/mount.h> of Debian 12 exclude each other.
int mount(const char* source, const char* target, const char* type, unsigned long flags, const void* data);
int umount2(const char* target, int flags);
enum { kBind = 4096, kRemount = 32, kDetach = 2, kMove = 8192, kPrivate = 1 << 18 };

static void old_interface(const char* variant, const char* path) {
    if (is(variant, "tmpfs")) judge(mount("none", "/tmp", "tmpfs", 0, NULL), "mount a tmpfs");
    if (is(variant, "proc")) judge(mount("proc", "/proc", "proc", 0, NULL), "mount proc");
    if (is(variant, "bind")) judge(mount("/", "/tmp", NULL, kBind, NULL), "bind the root");
    if (is(variant, "move")) judge(mount("/proc", "/tmp", NULL, kMove, NULL), "move /proc");
    if (is(variant, "overlay"))
        judge(mount("none", "/tmp", "overlay", 0, "lowerdir=/etc:/usr"), "mount an overlay");
    if (is(variant, "propagation"))
        judge(mount(NULL, "/", NULL, kPrivate, NULL), "change the propagation of /");
    if (is(variant, "remount"))
        judge(mount(NULL, path, NULL, kRemount | kBind, NULL), "remount a read-only mount writable");
    if (is(variant, "umount")) judge(umount2(path, kDetach), "unmount");
    if (is(variant, "umount_expire")) {
        // The first call marks, the second one unmounts.
        const int first = umount2(path, 4);
        judge(first < 0 && errno == EAGAIN ? umount2(path, 4) : first, "unmount as expired");
    }
    if (is(variant, "pivot_root")) judge(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    if (is(variant, "chroot")) judge(chroot("/tmp"), "chroot");
}

static void new_interface(const char* variant, const char* path) {
    if (is(variant, "fsopen")) judge(syscall(SYS_fsopen, "tmpfs", 0), "fsopen a tmpfs");
    if (is(variant, "fspick")) judge(syscall(SYS_fspick, AT_FDCWD, path, 0), "fspick");
    if (is(variant, "fsopen_mount")) {
        const int fs = (int)syscall(SYS_fsopen, "tmpfs", 0);
        if (fs < 0) refused("fsopen");
        syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
        judge(syscall(SYS_fsmount, fs, 0, 0), "fsmount");
    }
    if (is(variant, "open_tree"))
        judge(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE), "clone a tree");
    if (is(variant, "open_tree_attr")) {
        // 467: newer than the C library's headers.
        struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
        judge(syscall(467, AT_FDCWD, path, OPEN_TREE_CLONE, &attr, sizeof attr), "clone a tree, writable");
    }
    if (is(variant, "open_tree_move")) {
        const int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, 0);
        if (tree < 0) refused("open_tree");
        judge(syscall(SYS_move_mount, tree, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH), "move a tree");
    }
    if (is(variant, "move_mount"))
        judge(syscall(SYS_move_mount, AT_FDCWD, path, AT_FDCWD, "/tmp", 0), "move a mount");
    if (is(variant, "setattr")) {
        struct mount_attr attr = {.attr_clr = MOUNT_ATTR_RDONLY};
        judge(syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr, sizeof attr),
              "make a read-only mount writable");
    }
    if (is(variant, "setattr_nosuid")) {
        struct mount_attr attr = {.attr_clr = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
        judge(syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof attr), "allow set-user-id");
    }
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* path = argc > 2 ? argv[2] : "/";
    old_interface(argv[1], path);
    new_interface(argv[1], path);
    broken("unknown variant");
}
