#pragma once

#include <sys/types.h>

#include <climits>
#include <cstdint>
#include <type_traits>

struct sock_filter;

namespace substrate::process {

struct ChildPlan;

// What a child was doing when it failed. Wire values: never renumber.
enum class ChildStep : std::uint16_t {
    none = 0,
    wait_for_id_maps = 1,
    death_signal = 2,
    new_session = 3,
    place_descriptors = 4,
    close_descriptors = 5,
    ambient_capabilities = 6,
    change_directory = 7,
    bounding_set = 8,
    drop_capabilities = 9,
    no_new_privs = 10,
    seccomp = 11,
    exec = 12,
    wait_for_release = 13,
    join_network = 14,
    detach_old_root = 15,
    landlock = 17,
    guard = 18,
    controlling_terminal = 19,
    process_limit = 20,
    file_limit = 21,
};
const char* to_string(ChildStep step);

// Where a descriptor of the parent ends up in the child.
struct FdPlacement {
    int source = -1;
    int target = -1;
};
inline constexpr unsigned kMaxPlacements = 6;

// A second process beside the command: it answers the calls that `filter` hands over. Cloned from the
// child when that has all its restrictions, so that it can do no more than the command; it has
// a copy of the memory, the working directory, and no descriptor but `socket`, over which
// comes the filter's listener (SCM_RIGHTS, with one byte). It sends one byte back when it
// has it: only then is the program executed. It lives until `main` returns.
struct ChildGuard {
    const sock_filter* filter = nullptr;
    unsigned short filter_length = 0;
    void (*main)(const ChildGuard& guard, const ChildPlan& plan, int socket) noexcept = nullptr;
    const void* context = nullptr;  // main's own
};

// Everything that a child does between clone(2) and execve(2), prepared by
// the parent. Borrowed pointers only: the child allocates nothing.
struct ChildPlan {
    const char* program = nullptr;
    char* const* argv = nullptr;
    char* const* envp = nullptr;
    // Tried when `program` cannot be executed (not found, not permitted, no
    // recognised format): a shell then says what is wrong in its own words.
    const char* fallback_program = nullptr;
    char* const* fallback_argv = nullptr;
    const char* cwd = nullptr;
    int id_maps_ready_fd = -1;  // read one byte first: the parent has written the id maps
    // Where the child shares the parent's table of descriptors (CLONE_FILES): it goes on with one of its own,
    // which ends below this number. A parent that is to write id maps is told so by one byte on
    // `id_maps_ready_fd`. 0: the table is its own.
    unsigned own_table_below = 0;
    // A parked child: confines itself first and then waits on this SOCK_SEQPACKET socket
    // for one message with the sources of the placements (SCM_RIGHTS). Program, words,
    // environment, directory and umask are read only after that. The end of the
    // socket ends the child. It keeps no other descriptor meanwhile.
    int release_fd = -1;
    // Of a parked child that takes its part in making a world, before it confines
    // itself. It then tells the parent so, by one byte.
    bool detach_old_root = false;  // waits for one byte, then detaches what pivot_root(2) has left on "/"
    bool join_network = false;     // waits for one byte with a network namespace, and joins that
    // Of a parked child: the last descriptor of the release is a Landlock ruleset, which
    // restricts it. It is known no earlier: the program's own files are among its rules.
    bool landlock = false;
    unsigned landlock_flags = 0;  // LANDLOCK_RESTRICT_SELF_*
    // Of a parked child, read after the release. It then says by the number of the guard's
    // process, a pid_t, on the release socket that it has one. Not owned.
    const ChildGuard* guard = nullptr;
    // Targets are 0, 1, 2, … without gaps; everything above is closed.
    FdPlacement placements[kMaxPlacements] = {};
    unsigned placement_count = 0;
    int death_signal = 0;
    int umask = -1;
    // Of a child with a new session: the descriptor that becomes its controlling terminal; -1: none.
    int controlling_terminal = -1;
    bool new_session = false;
    bool raise_ambient_capabilities = false;  // keep the namespace's capabilities over exec
    bool drop_capabilities = false;           // bounding, ambient, permitted, effective, inheritable
    bool no_new_privs = false;
    unsigned long process_limit = 0;  // RLIMIT_NPROC, soft and hard; 0: as it is
    unsigned long file_limit = 0;     // RLIMIT_NOFILE, soft; 0: as it is
    const sock_filter* seccomp = nullptr;
    unsigned short seccomp_length = 0;
    int report_fd = -1;
};
static_assert(std::is_standard_layout_v<ChildPlan> && std::is_trivially_destructible_v<ChildPlan>);

// Written by a failing child with one write(2); at most PIPE_BUF bytes, so it
// arrives whole or not at all.
struct ChildReport {
    static constexpr std::uint32_t kMagic = 0x53554231;  // "SUB1"
    std::uint32_t magic = kMagic;
    ChildStep step = ChildStep::none;
    std::uint16_t index = 0;  // of the descriptor or capability, where there are several
    std::int32_t os_errno = 0;
    char detail[116] = {};
};
static_assert(std::is_trivially_copyable_v<ChildReport> && sizeof(ChildReport) <= _POSIX_PIPE_BUF);

}  // namespace substrate::process
