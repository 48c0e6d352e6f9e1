// Ways to a file that a pattern denies: ".env" and "vault/s.txt" hold the text "the secret", names
// ending in ".pem" do not exist, but for a link, "plain" holds "plain". And, by "works", what must go on
// working beside.
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "payload.h"

static int holds_secret(int fd) {
    char text[16] = {0};
    if (fd < 0) return 0;
    const ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    return size > 0 && strncmp(text, "the secret", 10) == 0;
}
static void judge_reading(int fd, const char* what) {
    if (holds_secret(fd)) succeeded(what);
    refused(what);
}
static int open2(int dir, const char* path, uint64_t flags, uint64_t resolve) {
    struct open_how how = {.flags = flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

// A second thread rewrites the path while the first one opens it.
static char shared_path[16];
static atomic_int racing = 1;
static void* rewrite(void* unused) {
    while (racing) {
        memcpy(shared_path, "./.env", 7);
        atomic_signal_fence(memory_order_seq_cst);
        memcpy(shared_path, "plain\0", 7);
        atomic_signal_fence(memory_order_seq_cst);
    }
    return unused;
}
// Or a link in the file system.
static void relink_to(const char* target) {
    unlink("new-link");
    if (symlink(target, "new-link") == 0) rename("new-link", "link");
}
static void* relink(void* unused) {
    while (racing) {
        relink_to(".env");
        relink_to("plain");
    }
    return unused;
}
static void race(void* (*other)(void*), const char* path, int tries) {
    pthread_t thread;
    int plain = 0;
    strcpy(shared_path, "plain");
    relink_to("plain");
    if (pthread_create(&thread, NULL, other, NULL) != 0) broken("thread");
    for (int i = 0; i < tries; ++i) {
        const int fd = open(path, O_RDONLY);
        plain += fd >= 0;
        if (holds_secret(fd)) succeeded("a race");
        if (i % 100 == 0) sched_yield();
    }
    racing = 0;
    pthread_join(thread, NULL);
    if (plain == 0) broken("a race that had only one side");
    refused("a race");
}

static void by_open_flags(const char* way) {
    const int path_only = open(".env", O_PATH);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", path_only);
    if (is(way, "path-only")) judge_reading(open(name, O_RDONLY), "a descriptor of O_PATH, opened again");
    if (is(way, "path-only-link")) {
        if (linkat(path_only, "", AT_FDCWD, "linked", AT_EMPTY_PATH) != 0)
            linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW);
        judge_reading(open("linked", O_RDONLY), "a link of a descriptor");
    }
    if (is(way, "path-only-owner"))
        judge(fchownat(path_only, "", getuid(), getgid(), AT_EMPTY_PATH), "fchownat");
    if (is(way, "path-only-times")) judge(utimensat(path_only, "", NULL, AT_EMPTY_PATH), "utimensat");
    if (is(way, "path-only-mode")) judge(chmod(name, 0777), "chmod of a descriptor");
    const int dir = open(".", O_PATH | O_DIRECTORY);
    if (is(way, "dirfd")) judge_reading(openat(dir, ".env", O_RDONLY), "openat");
    if (is(way, "dirfd-up")) judge_reading(openat(open("sub", O_PATH), "../.env", O_RDONLY), "openat and ..");
    if (is(way, "openat2")) judge_reading(open2(AT_FDCWD, ".env", O_RDONLY, 0), "openat2");
    if (is(way, "openat2-root"))
        judge_reading(open2(dir, "/.env", O_RDONLY, RESOLVE_IN_ROOT), "openat2 in a root");
    if (is(way, "openat2-beneath"))
        judge_reading(open2(dir, "sub/../.env", O_RDONLY, RESOLVE_BENEATH), "openat2 beneath");
    if (is(way, "openat2-path-only")) {
        snprintf(name, sizeof name, "/proc/self/fd/%d", open2(AT_FDCWD, ".env", O_PATH, 0));
        judge_reading(open(name, O_RDONLY), "openat2 with O_PATH");
    }
    if (is(way, "task")) {
        snprintf(name, sizeof name, "/proc/self/task/%d/cwd/.env", (int)syscall(SYS_gettid));
        judge_reading(open(name, O_RDONLY), "by a thread of /proc");
    }
    if (is(way, "vfork")) {
        if (vfork() == 0) {
            const int fd = open(".env", O_RDONLY);
            _exit(holds_secret(fd) ? 1 : 0);
        }
        int status = 0;
        wait(&status);
        if (status != 0) succeeded("after vfork");
        refused("after vfork");
    }
}

static void by_other_doors(const char* way) {
    if (is(way, "io-uring")) {
        char room[128] = {0};
        judge(syscall(SYS_io_uring_setup, 4, room), "io_uring");
    }
    if (is(way, "handle")) {
        struct {
            struct file_handle handle;
            char room[MAX_HANDLE_SZ];
        } it = {.handle.handle_bytes = MAX_HANDLE_SZ};
        int mount = 0;
        name_to_handle_at(AT_FDCWD, ".env", &it.handle, &mount, 0);
        judge_reading(open_by_handle_at(open(".", O_RDONLY), &it.handle, O_RDONLY), "a file handle");
    }
#if defined(__x86_64__)
    if (is(way, "int80")) {
        char* low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        strcpy(low, ".env");
        long fd = -1;
        __asm__ volatile("int $0x80" : "=a"(fd) : "a"(5), "b"(low), "c"(0), "d"(0) : "memory");
        judge_reading((int)fd, "open of another architecture");
    }
    if (is(way, "x32")) judge_reading((int)syscall(0x40000000 + SYS_open, ".env", O_RDONLY), "open of x32");
#endif
    if (is(way, "tree"))
        judge_reading(openat((int)syscall(428 /* open_tree */, AT_FDCWD, ".", 0), ".env", O_RDONLY),
                      "open_tree");
    if (is(way, "attributes"))
        judge(syscall(463 /* setxattrat */, AT_FDCWD, ".env", 0, "user.x", NULL, 0), "setxattrat");
    if (is(way, "namespace")) judge(syscall(SYS_unshare, 0x10020000 /* user and mount */), "a namespace");
    if (is(way, "execute")) {
        char* const words[] = {"./run.sh", NULL};
        execv("./run.sh", words);
        refused("executing what is denied");
    }
    if (is(way, "execute-descriptor")) {
        char* const words[] = {"./run.sh", NULL};
        syscall(SYS_execveat, open("./run.sh", O_PATH), "", words, NULL, AT_EMPTY_PATH);
        refused("executing what is denied by its descriptor");
    }
}

static void by_names(const char* way) {
    if (is(way, "exchange")) {
        syscall(SYS_renameat2, AT_FDCWD, "plain", AT_FDCWD, ".env", RENAME_EXCHANGE);
        judge_reading(open("plain", O_RDONLY), "an exchange of names");
    }
    if (is(way, "exchange-directory")) {
        mkdir("other", 0755);
        syscall(SYS_renameat2, AT_FDCWD, "other", AT_FDCWD, "vault", RENAME_EXCHANGE);
        judge_reading(open("other/s.txt", O_RDONLY), "an exchange of directories");
    }
    if (is(way, "temporary")) {
        const int fd = open(".", O_TMPFILE | O_RDWR, 0600);
        if (fd < 0) not_here("O_TMPFILE");
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        judge(linkat(AT_FDCWD, name, AT_FDCWD, "x.pem", AT_SYMLINK_FOLLOW),
              "a file without a name that gets a denied one");
    }
    if (is(way, "socket")) {
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "x.pem"};
        judge(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&address, sizeof address), "a socket");
    }
    if (is(way, "attribute")) judge(setxattr(".env", "user.x", "1", 1, 0), "an attribute");
    if (is(way, "read-attribute")) {
        char value[8];
        judge(getxattr(".env", "user.was", value, sizeof value), "reading an attribute");
    }
    if (is(way, "times")) judge(utimensat(AT_FDCWD, ".env", NULL, 0), "times");
    if (is(way, "length")) judge(truncate(".env", 1), "truncate");
    if (is(way, "target")) {
        char text[64];
        judge(readlink("link.pem", text, sizeof text), "reading a denied link");
    }
    if (is(way, "create")) judge(creat("x.pem", 0644), "creat");
    if (is(way, "directory")) judge(mkdir("x.pem/", 0755), "mkdir");
    if (is(way, "node")) judge(mknod("x.pem", S_IFREG | 0644, 0), "mknod");
}

static void must(int ok, const char* what) {
    if (ok) return;
    printf("does not work: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(kBroken);
}
static void caught(int number) { (void)number; }
static void* open_fifo(void* unused) {
    must(open("fifo", O_RDONLY) >= 0, "a FIFO that is opened by another thread");
    return unused;
}

// What must go on working for those who are guarded.
static void opening_works(void) {
    struct stat st;
    int fd = open("plain", O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0,
         "close on exec");
    fd = open("plain", O_RDONLY | O_NONBLOCK);
    must(fcntl(fd, F_GETFD) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, "no close on exec");
    umask(027);
    fd = open("made", O_CREAT | O_EXCL | O_RDWR | O_APPEND, 0666);
    must(
        fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 0777) == 0640 && (fcntl(fd, F_GETFL) & O_APPEND) != 0,
        "creating");
    must(open("made", O_CREAT | O_EXCL | O_RDWR, 0666) < 0 && errno == EEXIST, "EEXIST");
    must(open("nothing", O_RDONLY) < 0 && errno == ENOENT, "ENOENT");
    must(open("plain/x", O_RDONLY) < 0 && errno == ENOTDIR, "ENOTDIR");
    must(open("sub", O_CREAT | O_RDONLY, 0644) < 0 && errno == EISDIR, "EISDIR");
    must(open("sub", O_WRONLY) < 0 && errno == EISDIR, "EISDIR for writing");
    must(open("plain", O_DIRECTORY) < 0 && errno == ENOTDIR, "O_DIRECTORY");
    must(symlink("loop", "loop") == 0 && open("loop", O_RDONLY) < 0 && errno == ELOOP, "ELOOP");
    must(symlink("target", "dangling") == 0 && open("dangling", O_CREAT | O_WRONLY, 0644) >= 0 &&
             stat("target", &st) == 0,
         "creating by a link");
    must(open("dangling", O_NOFOLLOW) < 0 && errno == ELOOP, "O_NOFOLLOW");
    must(open((const char*)8, O_RDONLY) < 0 && errno == EFAULT, "EFAULT");
    must(open("", O_RDONLY) < 0 && errno == ENOENT, "an empty path");
    must(openat(999, "x", O_RDONLY) < 0 && errno == EBADF, "EBADF");
    must(openat(fd, "x", O_RDONLY) < 0 && errno == ENOTDIR, "a directory that is none");
}
static void names_work(void) {
    char name[64], text[64] = {0};
    struct stat st;
    int fd = -1;
    must(mkdir("dir/", 0777) == 0 && stat("dir", &st) == 0 && (st.st_mode & 0777) == 0750, "mkdir");
    must(rename("dir/", "dir2") == 0 && rmdir("dir2/") == 0 && rmdir(".") != 0, "rename and rmdir");
    must(unlink("sub") != 0 && errno == EISDIR, "unlink of a directory");
    must((fd = open(".", O_TMPFILE | O_RDWR, 0666)) < 0 ||
             (snprintf(name, sizeof name, "/proc/self/fd/%d", fd) &&
              linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW) == 0),
         "O_TMPFILE");
    must(open2(AT_FDCWD, "plain", O_RDONLY, RESOLVE_BENEATH) >= 0, "openat2");
    must(open2(AT_FDCWD, "/etc/passwd", O_RDONLY, RESOLVE_BENEATH) < 0 && errno == EXDEV, "openat2 beneath");
    must(open2(AT_FDCWD, "dangling", O_RDONLY, RESOLVE_NO_SYMLINKS) < 0 && errno == ELOOP,
         "openat2 without links");
    must(
        setxattr("plain", "user.x", "1", 1, 0) != 0 || (getxattr("plain", "user.x", text, sizeof text) == 1 &&
                                                        listxattr("plain", text, sizeof text) >= 7),
        "attributes");
    must(readlink("dangling", text, sizeof text) == 6 && memcmp(text, "target", 6) == 0, "readlink");
    snprintf(name, sizeof name, "%d", (int)getpid());
    must(readlink("/proc/self", text, sizeof text) == (ssize_t)strlen(name) &&
             memcmp(text, name, strlen(name)) == 0,
         "/proc/self");
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"}, got = {0};
    socklen_t size = sizeof got;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    must(bind(fd, (struct sockaddr*)&address, sizeof address) == 0 && listen(fd, 1) == 0 &&
             getsockname(fd, (struct sockaddr*)&got, &size) == 0 && is(got.sun_path, "socket"),
         "bind");
    must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr*)&address, sizeof address) == 0,
         "connect");
}
static void waiting_works(void) {
    int fd = -1;
    // One who waits for a FIFO keeps nobody else from opening.
    pthread_t thread;
    must(mkfifo("fifo", 0600) == 0 && pthread_create(&thread, NULL, open_fifo, NULL) == 0, "a FIFO");
    for (int i = 0; i < 100; ++i)
        must((fd = open("plain", O_RDONLY)) >= 0 && close(fd) == 0, "beside a FIFO");
    must(open("fifo", O_WRONLY) >= 0 && pthread_join(thread, NULL) == 0, "both ends of a FIFO");
    must(open("fifo", O_WRONLY | O_NONBLOCK) >= 0, "a FIFO without waiting");
    // A signal while a call is answered neither breaks it off nor makes it twice.
    signal(SIGALRM, caught);
    const struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < 2000; ++i)
        must(mkdir("again", 0755) == 0 && rmdir("again") == 0, "calls beside signals");
    setitimer(ITIMER_REAL, &never, NULL);
    // A killed one takes its waiting along.
    const pid_t child = fork();
    if (child == 0) open("fifo2", O_RDONLY), _exit(0);
    must(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child, "killing one who waits");
    // The caller's own limit.
    const struct rlimit few = {16, 16};
    must(setrlimit(RLIMIT_NOFILE, &few) == 0, "a limit");
    while (open("plain", O_RDONLY) >= 0) continue;
    must(errno == EMFILE, "EMFILE");
}

int main(int argc, char** argv) {
    const char* way = argc > 1 ? argv[1] : "";
    if (is(way, "works")) {
        opening_works();
        names_work();
        waiting_works();
        printf("works\n");
        fflush(stdout);
        _exit(0);
    }
    if (is(way, "race-memory")) race(rewrite, shared_path, 50000);
    if (is(way, "race-link")) race(relink, "link", 20000);
    by_open_flags(way);
    by_other_doors(way);
    by_names(way);
    broken("no such way");
}
