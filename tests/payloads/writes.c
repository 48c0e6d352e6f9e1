// Ways to change "plain", which holds the text "plain" and has mode 0644, where only names that end in ".md"
// may be written; "a.md" may be.
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "payload.h"

static void judge_content(const char* what) {
    char text[16] = {0};
    const int fd = open("plain", O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0) broken("reading");
    if (strncmp(text, "plain", 5) != 0) succeeded(what);
    refused(what);
}

// What a descriptor that was opened for reading can change.
static void by_descriptor(const char* way) {
    const int fd = open("plain", O_RDONLY);
    if (fd < 0) broken("opening for reading");
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (is(way, "mode")) judge(fchmod(fd, 0600), "fchmod");
    if (is(way, "owner")) judge(fchown(fd, getuid(), getgid()), "fchown");
    if (is(way, "times")) judge(futimens(fd, NULL), "futimens");
    if (is(way, "attribute")) judge(fsetxattr(fd, "user.x", "y", 1, 0), "fsetxattr");
    if (is(way, "no-attribute")) {
        if (fremovexattr(fd, "user.x") < 0 && errno == ENODATA) succeeded("fremovexattr");
        refused("fremovexattr");
    }
    if (is(way, "flags")) {
        int flags = FS_NODUMP_FL;
        if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 && errno == EOPNOTSUPP) not_here("flags of files");
        judge(ioctl(fd, FS_IOC_SETFLAGS, &flags), "FS_IOC_SETFLAGS");
    }
    if (is(way, "again")) judge(open(name, O_WRONLY), "opening a descriptor again");
    if (is(way, "again-cut")) judge(open(name, O_RDONLY | O_TRUNC), "cutting by a descriptor");
    if (is(way, "link")) {
        if (linkat(AT_FDCWD, name, AT_FDCWD, "x.md", AT_SYMLINK_FOLLOW) != 0)
            refused("a link of a descriptor");
        judge(open("x.md", O_WRONLY), "by a link of a descriptor");
    }
    if (is(way, "path-only")) {
        const int object = open("plain", O_PATH);
        snprintf(name, sizeof name, "/proc/self/fd/%d", object);
        judge(open(name, O_RDWR), "a descriptor of O_PATH, opened again");
    }
    if (is(way, "path-only-mode")) judge(fchmodat(open(".", O_PATH), "plain", 0600, 0), "fchmodat");
    if (is(way, "temporary")) {
        const int made = open(".", O_TMPFILE | O_RDWR, 0600);
        if (made < 0) refused("a file without a name");
        snprintf(name, sizeof name, "/proc/self/fd/%d", made);
        judge(linkat(AT_FDCWD, name, AT_FDCWD, "new", AT_SYMLINK_FOLLOW), "naming a file without a name");
    }
    if (is(way, "clone")) {
        // Content is shared into a file that may be written only.
        const int to = open("a.md", O_RDONLY);
        if (ioctl(to, FICLONE, fd) == 0) succeeded("FICLONE to a descriptor for reading");
        refused("FICLONE");
    }
}

static char shared_path[16];
static atomic_int racing = 1;
static void* rewrite(void* unused) {
    while (racing) {
        memcpy(shared_path, "plain", 6);
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(shared_path, "a.md\0", 6);
        atomic_signal_fence(memory_order_seq_cst);
    }
    return unused;
}
static void relink_to(const char* target) {
    unlink("l.md.new.md");
    if (symlink(target, "l.md.new.md") == 0) rename("l.md.new.md", "l.md");
}
static void* relink(void* unused) {
    while (racing) {
        relink_to("plain");
        relink_to("a.md");
    }
    return unused;
}
static void race(void* (*other)(void*), const char* path, int tries) {
    pthread_t thread;
    int opened = 0;
    strcpy(shared_path, "a.md");
    relink_to("a.md");
    if (pthread_create(&thread, NULL, other, NULL) != 0) broken("thread");
    for (int i = 0; i < tries; ++i) {
        const int fd = open(path, O_WRONLY);
        if (fd >= 0 && write(fd, "x", 1) == 1) ++opened;
        if (fd >= 0) close(fd);
        if (i % 100 == 0) sched_yield();
    }
    racing = 0;
    pthread_join(thread, NULL);
    if (opened == 0) broken("a race that had only one side");
    judge_content("a race");
}

int main(int argc, char** argv) {
    const char* way = argc > 1 ? argv[1] : "";
    if (is(way, "race-memory")) race(rewrite, shared_path, 20000);
    if (is(way, "race-link")) race(relink, "l.md", 5000);
    by_descriptor(way);
    broken("no such way");
}
