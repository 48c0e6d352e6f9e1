#include "start/head_start.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "plan/world_plan.hpp"
#include "start/program_identity.hpp"
#include "start/request_frame.hpp"
#include "sys/raw_call.hpp"

namespace substrate::start {
namespace {

using sys::as_long;
using sys::raw_call;

constexpr std::size_t kMaxFrame = 48 * 1024;  // a socket takes it in one piece

// Not on the stack, whose limit is the caller's; only the pages that are written exist.
constinit HeadStart state;
constinit char frame[kMaxFrame];

bool same(const char* a, const char* b) {
    while (*a != '\0' && *a == *b) ++a, ++b;
    return *a == *b;
}

// The value, where the variable is `name`.
const char* value_of(const char* variable, const char* name) {
    while (*name != '\0' && *variable == *name) ++variable, ++name;
    return *name == '\0' && *variable == '=' ? variable + 1 : nullptr;
}

// The first of that name, as getenv(3).
const char* find_variable(const char* const* environment, const char* name) {
    for (; *environment != nullptr; ++environment)
        if (const char* value = value_of(*environment, name)) return value;
    return nullptr;
}

// `substrate [--ephemeral] -c LINE`.
bool read_arguments(int argc, const char* const* argv) {
    const int at = argc > 1 && same(argv[1], "--ephemeral") ? 2 : 1;
    if (argc != at + 2 || !same(argv[at], "-c") || argv[at + 1][0] == '\0') return false;
    state.ephemeral = at == 2;
    state.line = argv[at + 1];
    return true;
}

// The address of the home's control.sock, where the home is an ordinary one.
bool locate_socket(const char* const* environment, sockaddr_un& address) {
    const char* home = find_variable(environment, "SUBSTRATE_HOME");
    const bool by_default = home == nullptr || *home == '\0';
    if (by_default) home = find_variable(environment, "HOME");
    if (home == nullptr || *home != '/') return false;
    address.sun_family = AF_UNIX;
    unsigned at = 0;
    for (const char* part : {home, by_default ? "/.substrate" : "", "/sock/control.sock"})
        for (; *part != '\0'; ++part) {
            if (at + 1 >= sizeof address.sun_path) return false;
            if (part[0] == '.' && part[1] == '.') return false;
            address.sun_path[at++] = *part;
        }
    address.sun_path[at] = '\0';
    return true;
}

bool is_ordinary(const char* const* environment) {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (raw_call(SYS_fcntl, fd, F_GETFD) < 0) return false;
    if (find_variable(environment, "SUBSTRATE_WORLD") != nullptr) return false;
    struct ::stat door;
    return raw_call(SYS_newfstatat, AT_FDCWD, as_long(plan::kDoorPath), as_long(&door), AT_SYMLINK_NOFOLLOW) <
           0;
}

bool connect_agent(const sockaddr_un& address) {
    const long socket = raw_call(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return false;
    if (raw_call(SYS_connect, socket, as_long(&address), sizeof address) != 0) {
        raw_call(SYS_close, socket);
        return false;
    }
    state.socket = static_cast<int>(socket);
    return true;
}

// 0 where the ordinary client has to write it.
std::size_t make_request(const char* const* environment) {
    char path[4096];
    struct ::stat agent;
    if (!find_sibling("substrate-world-agent", path, sizeof path)) return 0;
    if (raw_call(SYS_newfstatat, AT_FDCWD, as_long(path), as_long(&agent), 0) != 0) return 0;
    char identity[kIdentitySize];
    write_identity(agent, identity);
    // The kernel counts the end mark.
    const long cwd = raw_call(SYS_getcwd, as_long(path), sizeof path);
    if (cwd <= 1 || path[0] != '/') return 0;
    const long mask = raw_call(SYS_umask, 077);
    raw_call(SYS_umask, mask);
    std::size_t line = 0;
    while (state.line[line] != '\0') ++line;
    return write_request({.line = {state.line, line},
                          .ephemeral = state.ephemeral,
                          .cwd = {path, static_cast<std::size_t>(cwd - 1)},
                          .environment = environment,
                          .umask = static_cast<unsigned>(mask),
                          .agent_identity = {identity, kIdentitySize},
                          .observes_output = state.output.observed()},
                         frame);
}

bool send_request(std::size_t size) {
    struct {
        alignas(cmsghdr) char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    iovec io{frame, size};
    msghdr message;
    message.msg_name = nullptr;
    message.msg_namelen = 0;
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    message.msg_flags = 0;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(3 * sizeof(int));
    int* const fds = reinterpret_cast<int*>(CMSG_DATA(header));
    fds[0] = STDIN_FILENO;
    fds[1] = state.output.stdout_fd();
    fds[2] = state.output.stderr_fd();
    // A frame that was sent in part is dropped by the agent.
    return raw_call(SYS_sendmsg, state.socket, as_long(&message), MSG_NOSIGNAL) == static_cast<long>(size);
}

void change_signals(int how) {
    unsigned long set = 0;
    for (const int signal : kPassedSignals) set |= 1UL << (signal - 1);
    raw_call(SYS_rt_sigprocmask, how, as_long(&set), 0, sizeof set);
}

bool begin(int argc, const char* const* argv, const char* const* environment) {
    sockaddr_un address;
    if (!read_arguments(argc, argv) || !is_ordinary(environment)) return false;
    if (!locate_socket(environment, address) || !connect_agent(address)) return false;
    if (open_output(false, false, state.output) == 0) {
        save_terminal(state.terminal);
        const std::size_t size = make_request(environment);
        change_signals(SIG_BLOCK);
        if (size != 0 && send_request(size)) return true;
        change_signals(SIG_UNBLOCK);
        close_output(state.output);
    }
    raw_call(SYS_close, state.socket);
    return false;
}

}  // namespace

const HeadStart& head_start() { return state; }

// With the stack as the kernel hands it to a program: the number of arguments, the
// arguments, a null pointer, the environment.
extern "C" [[gnu::used]] void substrate_begin(const long* stack) {
    const auto* argv = reinterpret_cast<const char* const*>(stack + 1);
    state.taken = begin(static_cast<int>(stack[0]), argv, argv + stack[0] + 1);
}

}  // namespace substrate::start

// The program's entry point. It leaves registers and stack as it found them (psABI,
// "Process Initialization"), for the C library's own.
#if defined(__x86_64__)
__asm__(R"(
.section .text.substrate_entry, "ax", @progbits
.globl substrate_entry
.type substrate_entry, @function
substrate_entry:
    xorl %ebp, %ebp
    movq %rsp, %rdi
    pushq %rdx
    pushq %rdx
    call substrate_begin
    popq %rdx
    popq %rdx
    jmp _start
.size substrate_entry, . - substrate_entry
.text
)");
#endif
