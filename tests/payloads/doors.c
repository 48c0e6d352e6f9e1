// What a command must not be able to do to its world's door: doors VARIANT PATH.

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "payload.h"

static struct sockaddr_un address_of(const char* path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) broken("the name is too long");
    strcpy(address.sun_path, path);
    return address;
}

// More than may ever wait: each takes memory of the kernel and, once let in, of the agent.
static void crowd(const char* path) {
    const struct sockaddr_un address = address_of(path);
    for (int i = 0; i < 400; ++i) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) broken("socket");
        if (connect(fd, (const struct sockaddr*)&address, sizeof address) == 0) continue;
        if (errno != EAGAIN) broken(path);
        refused("more than a few connections");
    }
    succeeded("hundreds of connections at once");
}

int main(int argc, char** argv) {
    if (argc < 3) broken("no variant");
    const char* path = argv[2];
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode)) broken("there is no door");
    if (is(argv[1], "crowd")) crowd(path);
    if (is(argv[1], "remove")) judge(unlink(path), path);
    if (is(argv[1], "rename")) judge(rename(path, "/tmp/door"), path);
    if (is(argv[1], "link")) judge(link(path, "/tmp/door"), path);
    if (is(argv[1], "mode")) judge(chmod(path, 0666), path);
    if (is(argv[1], "beside")) {
        char name[4096];
        snprintf(name, sizeof name, "%s2", path);
        const struct sockaddr_un address = address_of(name);
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        judge(bind(fd, (const struct sockaddr*)&address, sizeof address), name);
    }
    broken("unknown variant");
}
