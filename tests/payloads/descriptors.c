// What came along by accident: descriptors VARIANT.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "payload.h"

static void scan(void) {
    for (int fd = 3; fd < 65536; ++fd)
        if (fcntl(fd, F_GETFD) >= 0) {
            printf("descriptor %d\n", fd);
            succeeded("an open descriptor");
        }
    errno = EBADF;
    refused("descriptors 3 and above");
}

static void list(void) {
    DIR* directory = opendir("/proc/self/fd");
    if (directory == NULL) broken("/proc/self/fd");
    for (const struct dirent* entry; (entry = readdir(directory)) != NULL;) {
        const int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(directory)) succeeded(entry->d_name);
    }
    errno = EBADF;
    refused("/proc/self/fd");
}

// Standard input opened for reading by somebody else: again, for writing.
static void reopen(void) {
    struct stat st;
    if (fstat(STDIN_FILENO, &st) != 0 || !S_ISREG(st.st_mode)) broken("standard input is no file");
    judge(open("/proc/self/fd/0", O_WRONLY | O_CLOEXEC), "standard input again, for writing");
}

// Standard input that is a directory of the host: the way up from it, and down again.
static void climb(int write) {
    struct stat st;
    if (fstat(STDIN_FILENO, &st) != 0) refused("standard input is closed");
    if (!S_ISDIR(st.st_mode)) refused("standard input is no directory");
    if (!write)
        judge(openat(STDIN_FILENO, "..", O_RDONLY | O_DIRECTORY), "the directory above standard input");
    const int fd = openat(STDIN_FILENO, "substrate-payload", O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) unlinkat(STDIN_FILENO, "substrate-payload", 0);
    judge(fd, "a file in the directory of standard input");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    if (is(argv[1], "scan")) scan();
    if (is(argv[1], "list")) list();
    if (is(argv[1], "reopen")) reopen();
    if (is(argv[1], "climb")) climb(0);
    if (is(argv[1], "create_in_stdin")) climb(1);
    broken("unknown variant");
}
