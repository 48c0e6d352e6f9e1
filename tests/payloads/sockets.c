// Sockets that a command has no use for, or that lead out: sockets VARIANT [NAME].
// Nothing is ever sent.

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "payload.h"

static const struct {
    const char* name;
    int family, type, protocol;
} kSockets[] = {
    {"alg", AF_ALG, SOCK_SEQPACKET, 0},
    {"vsock", AF_VSOCK, SOCK_STREAM, 0},
    {"vsock_dgram", AF_VSOCK, SOCK_DGRAM, 0},
    {"packet", AF_PACKET, SOCK_RAW, 0},
    {"packet_dgram", AF_PACKET, SOCK_DGRAM, 0},
    {"raw_icmp", AF_INET, SOCK_RAW, IPPROTO_ICMP},
    {"raw_tcp", AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP},
    {"raw6", AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
    {"sock_packet", AF_INET, SOCK_PACKET, 0},
    {"bluetooth", AF_BLUETOOTH, SOCK_RAW, 1},
    {"xdp", AF_XDP, SOCK_RAW, 0},
    {"key", AF_KEY, SOCK_RAW, 2},
};

static void connect_unix(const char* name, int abstract, int type) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char* start = address.sun_path + abstract;
    const size_t length = strlen(name);
    if (length + 2 > sizeof address.sun_path) broken("the name is too long");
    memcpy(start, name, length);
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0) broken("socket");
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    judge(connect(fd, (struct sockaddr*)&address, size), "connect to a socket of the host");
}

// Asks for no change at all of the loopback: the kernel judges the right to change first.
static void change_link(void) {
    struct {
        struct nlmsghdr header;
        struct ifinfomsg link;
    } request = {.header = {.nlmsg_len = sizeof request,
                            .nlmsg_type = RTM_NEWLINK,
                            .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                            .nlmsg_seq = 1},
                 .link = {.ifi_family = AF_UNSPEC, .ifi_index = 1}};
    const int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) refused("a netlink socket");
    if (send(fd, &request, sizeof request, 0) < 0) refused("a netlink request");
    char answer[4096] __attribute__((aligned(8)));
    const long size = recv(fd, answer, sizeof answer, 0);
    const struct nlmsghdr* header = (const struct nlmsghdr*)answer;
    if (size < (long)sizeof *header || header->nlmsg_type != NLMSG_ERROR) broken("the answer");
    errno = -((const struct nlmsgerr*)NLMSG_DATA(header))->error;
    judge(errno == 0 ? 0 : -1, "change an interface");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    for (size_t i = 0; i < sizeof kSockets / sizeof kSockets[0]; ++i)
        if (is(argv[1], kSockets[i].name))
            judge(socket(kSockets[i].family, kSockets[i].type, kSockets[i].protocol), argv[1]);
    // The kernel reads 32 bits of the family.
    if (is(argv[1], "alg_high"))
        judge(syscall(SYS_socket, 0x100000000UL | AF_ALG, SOCK_SEQPACKET, 0), "AF_ALG with more bits");
    if (is(argv[1], "unix") && argc > 2) connect_unix(argv[2], 0, SOCK_STREAM);
    if (is(argv[1], "unix_dgram") && argc > 2) connect_unix(argv[2], 0, SOCK_DGRAM);
    if (is(argv[1], "abstract") && argc > 2) connect_unix(argv[2], 1, SOCK_STREAM);
    if (is(argv[1], "netlink")) change_link();
    broken("unknown variant");
}
