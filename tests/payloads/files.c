// Files out of reach: files VARIANT PATH [PATH]. What could be opened for writing is not
// written, what could be made is taken away again.

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "payload.h"

enum { kExchange = 2 };

static void reading(const char* variant, const char* path) {
    if (is(variant, "read")) {
        const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0) refused(path);
        char byte;
        const long size = read(fd, &byte, 1);
        if (size <= 0) refused(path);
        succeeded(path);
    }
    if (is(variant, "list")) {
        DIR* directory = opendir(path);
        if (directory == NULL) refused(path);
        for (const struct dirent* entry; (entry = readdir(directory)) != NULL;)
            if (!is(entry->d_name, ".") && !is(entry->d_name, "..")) succeeded(entry->d_name);
        errno = ENOENT;
        refused(path);
    }
    if (is(variant, "exists")) judge(access(path, F_OK), path);
}

static void writing(const char* variant, const char* path) {
    char made[4096];
    snprintf(made, sizeof made, "%s/substrate-payload-%d", path, (int)getpid());
    if (is(variant, "write")) judge(open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC), path);
    if (is(variant, "read_write")) judge(open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC), path);
    if (is(variant, "create")) {
        const int fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd >= 0) unlink(made);
        judge(fd, made);
    }
    if (is(variant, "mkdir")) {
        const int result = mkdir(made, 0700);
        if (result == 0) rmdir(made);
        judge(result, made);
    }
    if (is(variant, "tmpfile")) judge(open(path, O_WRONLY | O_TMPFILE, 0600), path);
    if (is(variant, "symlink")) {
        const int result = symlink("/", made);
        if (result == 0) unlink(made);
        judge(result, made);
    }
    if (is(variant, "mkfifo")) {
        const int result = mkfifo(made, 0600);
        if (result == 0) unlink(made);
        judge(result, made);
    }
}

// On a file of the test's own, which is made anew for every harness.
static void changing(const char* variant, const char* path) {
    struct stat st;
    if (stat(path, &st) != 0) refused(path);
    if (is(variant, "chmod")) judge(chmod(path, st.st_mode & 07777), path);
    if (is(variant, "chown")) judge(chown(path, st.st_uid, st.st_gid), path);
    if (is(variant, "utimes"))
        judge(utimensat(AT_FDCWD, path, (struct timespec[2]){st.st_atim, st.st_mtim}, 0), path);
    if (is(variant, "truncate")) judge(truncate(path, st.st_size), path);
    if (is(variant, "unlink")) judge(unlink(path), path);
    if (is(variant, "setxattr")) judge(setxattr(path, "user.substrate", "x", 1, 0), path);
    if (is(variant, "map")) {
        const int fd = open(path, O_RDONLY);
        if (fd < 0) refused(path);
        judge(mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0, path);
    }
    if (is(variant, "by_descriptor")) {
        // Opened for reading, then again by its name below /proc.
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", open(path, O_RDONLY));
        judge(open(name, O_RDWR), path);
    }
    if (is(variant, "by_path_descriptor")) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", open(path, O_PATH));
        judge(open(name, O_RDWR), path);
    }
}

static void linking(const char* variant, const char* from, const char* to) {
    if (is(variant, "hardlink")) {
        const int result = linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
        if (result == 0) unlink(to);
        judge(result, from);
    }
    if (is(variant, "hardlink_descriptor")) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", open(from, O_PATH));
        const int result = linkat(AT_FDCWD, name, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
        if (result == 0) unlink(to);
        judge(result, from);
    }
    if (is(variant, "rename")) {
        const int result = rename(from, to);
        if (result == 0) rename(to, from);
        judge(result, from);
    }
    if (is(variant, "exchange")) {
        const long result = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, kExchange);
        if (result == 0) syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, kExchange);
        judge(result, from);
    }
    if (is(variant, "write_link")) {
        unlink("planted-link");
        if (symlink(from, "planted-link") != 0) broken("symlink");
        const int fd = open("planted-link", O_WRONLY | O_CLOEXEC);
        unlink("planted-link");
        judge(fd, from);
    }
    if (is(variant, "read_link")) {
        unlink("planted-link");
        if (symlink(from, "planted-link") != 0) broken("symlink");
        const int fd = open("planted-link", O_RDONLY | O_CLOEXEC);
        unlink("planted-link");
        char byte;
        judge(fd < 0 || read(fd, &byte, 1) <= 0 ? -1 : 0, from);
    }
}

int main(int argc, char** argv) {
    if (argc < 3) broken("files VARIANT PATH");
    reading(argv[1], argv[2]);
    writing(argv[1], argv[2]);
    linking(argv[1], argv[2], argc > 3 ? argv[3] : "linked");
    changing(argv[1], argv[2]);
    broken("unknown variant");
}
