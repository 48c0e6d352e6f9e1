#include "world/probe.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/paths.hpp"
#include "process/spawn.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/landlock.hpp"
#include "sys/namespace.hpp"
#include "sys/seccomp_notify.hpp"
#include "sys/socket.hpp"
#include "world/init_protocol.hpp"
#include "world/machine_size.hpp"
#include "world/packet.hpp"
#include "world/probe_child.hpp"
#include "world/world.hpp"

namespace substrate::world {
namespace {

constexpr const char* kUserNamespaceFix =
    "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces>0, "
    "kernel.apparmor_restrict_unprivileged_userns=0";

std::string first_line(Result<std::string> text) {
    if (!text) return {};
    return text->substr(0, text->find('\n'));
}

Result<std::vector<plan::RootEntry>> read_root_entries() {
    SUB_TRY_ASSIGN(const sys::UniqueFd root, sys::open_path("/", O_RDONLY | O_DIRECTORY));
    sys::DirectoryReader reader(root.get());
    std::vector<plan::RootEntry> entries;
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) break;
        SUB_TRY_ASSIGN(const auto st, sys::stat_at(root.get(), entry->name));
        if (!st) continue;
        plan::RootEntry found{.name = entry->name, .directory = S_ISDIR(st->stx_mode), .link_target = {}};
        if (S_ISLNK(st->stx_mode)) {
            SUB_TRY_ASSIGN(found.link_target, sys::read_link_at(root.get(), entry->name));
        }
        entries.push_back(std::move(found));
    }
    std::ranges::sort(entries, {}, &plan::RootEntry::name);
    return entries;
}

std::vector<std::string> existing_device_nodes() {
    std::vector<std::string> nodes;
    for (const char* name : {"full", "null", "random", "tty", "urandom", "zero"}) {
        struct ::stat st{};
        if (::stat((std::string("/dev/") + name).c_str(), &st) == 0 && S_ISCHR(st.st_mode))
            nodes.emplace_back(name);
    }
    return nodes;
}

bool has_capabilities(std::initializer_list<int> wanted) {
    const auto status = sys::read_file("/proc/self/status");
    if (!status) return false;
    const auto at = status->find("CapEff:\t");
    if (at == std::string::npos) return false;
    unsigned long long effective = 0;
    const char* begin = status->data() + at + 8;
    std::from_chars(begin, begin + 16, effective, 16);
    return std::ranges::all_of(wanted, [&](int capability) { return (effective & 1ull << capability) != 0; });
}

// Whether we may map more ids than our own: CAP_SETUID in our user namespace.
bool may_map_all_ids() { return has_capabilities({CAP_SETUID, CAP_SETGID}); }

// Devices, routes and rules of the network that we are in, and mounts that others see.
plan::Capability veth() {
    constexpr const char* kFix = "run the agent as root, or leave net.mode at gateway";
    if (!has_capabilities({CAP_NET_ADMIN, CAP_SYS_ADMIN}))
        return {.ok = false, .reason = "it needs CAP_NET_ADMIN and CAP_SYS_ADMIN", .fix = kFix};
    for (const char* type : {"net", "mnt"})
        if (!sys::owns_namespace(type))
            return {.ok = false,
                    .reason = std::string("our ") + type + " namespace belongs to another user namespace",
                    .fix = kFix};
    return {.ok = true, .reason = {}, .fix = {}};
}

Result<std::vector<plan::IdExtent>> id_extents(bool all, const char* map_file, std::uint32_t own) {
    if (!all) return std::vector<plan::IdExtent>{{own, 1}};
    SUB_TRY_ASSIGN(const auto ranges, sys::own_id_ranges(map_file));
    std::vector<plan::IdExtent> extents;
    for (const sys::IdRange& range : ranges) extents.push_back({range.first, range.count});
    return extents;
}

std::string find_program(const Env& env, std::string_view name) {
    const std::string path = env.variable("PATH").value_or("/usr/local/bin:/usr/bin:/bin") + ":/usr/bin:/bin";
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find(':', begin), path.size());
        std::string candidate = path.substr(begin, end - begin) + "/" + std::string(name);
        if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
        begin = end + 1;
    }
    return {};
}

// Starts the init as a probe in the given namespaces and returns its answer.
Result<ProbeAnswer> ask(const ProbeOptions& options, const plan::HostFacts& facts, int namespaces,
                        const std::string& scratch) {
    const ProbeQuestion question{.scratch = scratch,
                                 .fuse_program = facts.fuse_binary,
                                 .user_xattrs = (namespaces & CLONE_NEWUSER) != 0,
                                 .own_network = (namespaces & CLONE_NEWNET) != 0,
                                 .veth = facts.veth.ok};
    InitOptions init = init_options_for(facts, options.init_program);
    init.namespaces = namespaces;
    SUB_TRY_ASSIGN(WaitingInit waiting, WaitingInit::start(init));
    SUB_TRY_ASSIGN(WaitingInit::Running running, waiting.finish());
    const auto asked = send_packet(running.control.get(), encode(question), {});
    auto packet = asked ? receive_packet(running.control.get()) : fail(asked.error());
    running.control.reset();
    (void)process::wait_for(running.child);
    if (!packet) return fail(std::move(packet).error());
    if (packet->closed) return fail({Errc::internal, "the probe ended without an answer"});
    return decode_probe_answer(packet->payload);
}

plan::Capability from(const std::string& failure, std::string fix) {
    if (failure.empty()) return {.ok = true, .reason = {}, .fix = {}};
    return {.ok = false, .reason = failure, .fix = std::move(fix)};
}

void take_answer(plan::HostFacts& facts, const ProbeAnswer& answer) {
    facts.ipv6 = from(answer.ipv6, "boot without ipv6.disable=1");
    facts.nftables =
        from(answer.nftables, "modprobe nf_tables nft_ct nft_reject_inet nft_redir nft_log, as root");
    if (facts.veth.ok) facts.veth = from(answer.veth, "modprobe veth, or leave net.mode at gateway");
    facts.proc_mount = from(answer.proc,
                            "run outside a container that masks /proc, or unmask it (docker: --security-opt "
                            "systempaths=unconfined)");
    facts.overlay =
        from(answer.overlay, "use a kernel of at least 5.11 and keep SUBSTRATE_HOME on ext4, xfs or btrfs");
    if (facts.fuse_binary.empty())
        facts.fuse = {.ok = false,
                      .reason = "fuse-overlayfs is not installed",
                      .fix = "apt-get install fuse-overlayfs fuse3"};
    else facts.fuse = from(answer.fuse, "give this user access to /dev/fuse");
}

// The scratch tree of one probe; removed whatever happens.
class Scratch {
  public:
    static Result<Scratch> make(const std::string& parent) {
        SUB_TRY(sys::make_dirs(parent, 0700));
        SUB_TRY_ASSIGN(std::string path, sys::make_temp_dir(parent + "/probe-"));
        Scratch scratch(std::move(path));
        for (const char* name : {"root", "lower", "upper", "work", "merged"})
            SUB_TRY(sys::make_dirs(scratch.path_ + "/" + name, 0700));
        return scratch;
    }
    Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    Scratch& operator=(Scratch&&) = delete;
    ~Scratch() {
        if (!path_.empty()) (void)sys::remove_tree_at(AT_FDCWD, path_);
    }
    const std::string& path() const { return path_; }

  private:
    explicit Scratch(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

// What a guard needs: calls that are handed over, and the memory of their callers, which Yama gives
// to their parents only (Documentation/admin-guide/LSM/Yama.rst).
plan::Capability path_guard() {
    if (const auto calls = sys::check_path_calls(); !calls)
        return {.ok = false, .reason = calls.error().message(), .fix = "use Linux 5.19 or newer"};
    const std::string scope = first_line(sys::read_file("/proc/sys/kernel/yama/ptrace_scope"));
    if (!scope.empty() && scope != "0")
        return {.ok = false,
                .reason = "kernel.yama.ptrace_scope is " + scope + ": no process may read another's memory",
                .fix = "sysctl kernel.yama.ptrace_scope=0"};
    return {.ok = true, .reason = {}, .fix = {}};
}

// KERNEL(5.14): counted by user namespace. copy_process() exempts the user id 0 of the machine.
plan::Capability process_count(const plan::HostFacts& facts) {
    if (!facts.kernel_at_least(5, 14))
        return {.ok = false,
                .reason = "this kernel counts the processes of all worlds together",
                .fix = "use Linux 5.14 or newer"};
    // Settings of the kernel are the machine's root's: in a user namespace where that is nobody we are not
    // he.
    const auto setting = sys::stat_at(AT_FDCWD, "/proc/sys/vm/overcommit_memory");
    if (facts.is_root() && (!setting || !*setting || (*setting)->stx_uid == 0))
        return {.ok = false, .reason = "the kernel counts no processes of root", .fix = {}};
    return {.ok = true, .reason = {}, .fix = {}};
}

Result<> probe_namespaces(plan::HostFacts& facts, const ProbeOptions& options) {
    constexpr int kBase = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    SUB_TRY_ASSIGN(const Scratch scratch, Scratch::make(options.scratch));
    auto answer = ask(options, facts, kBase | CLONE_NEWUSER | CLONE_NEWNET, scratch.path());
    if (answer) {
        facts.user_namespace.ok = true;
        facts.net_namespace = from(answer->network, "load the loopback driver");
        take_answer(facts, *answer);
        return {};
    }
    const std::string why = answer.error().message();
    const auto without_net = ask(options, facts, kBase | CLONE_NEWUSER, scratch.path());
    if (without_net) {
        facts.user_namespace.ok = true;
        facts.net_namespace = {.ok = false, .reason = why, .fix = "raise user.max_net_namespaces"};
        take_answer(facts, *without_net);
        return {};
    }
    facts.user_namespace = {.ok = false, .reason = without_net.error().message(), .fix = kUserNamespaceFix};
    if (!facts.is_root()) return {};
    // Root can do without a user namespace, which is then one layer less.
    auto as_root = ask(options, facts, kBase | CLONE_NEWNET, scratch.path());
    if (!as_root) {
        facts.proc_mount = {
            .ok = false, .reason = as_root.error().message(), .fix = "run with CAP_SYS_ADMIN"};
        return {};
    }
    facts.net_namespace = from(as_root->network, "load the loopback driver");
    take_answer(facts, *as_root);
    return {};
}

}  // namespace

std::string account_home_of(unsigned uid) {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
        return normalized(found->pw_dir);
    return "/";
}

std::string home_of(const Env& env, unsigned uid) {
    if (auto home = env.variable("HOME"); home && home->starts_with('/')) return normalized(*home);
    return account_home_of(uid);
}

Result<plan::HostFacts> probe_host(const Env& env, const ProbeOptions& options) {
    plan::HostFacts facts;
    facts.uid = ::geteuid();
    facts.gid = ::getegid();
    facts.home = sys::resolve_links(home_of(env, facts.uid));
    // It does not exist: nothing in it needs to be hidden.
    if (has_dot_dot(facts.home)) facts.home = "/";
    facts.account_home = sys::resolve_links(account_home_of(facts.uid));
    facts.substrate_home = sys::resolve_links(options.substrate_home);
    facts.boot_id = first_line(sys::read_file("/proc/sys/kernel/random/boot_id"));
    utsname name{};
    if (::uname(&name) != 0) return fail(Error::last_os("uname"));
    facts.kernel_release = name.release;
    const char* const end = name.release + std::string_view(name.release).size();
    const auto major = std::from_chars(name.release, end, facts.kernel_major);
    if (major.ptr < end) std::from_chars(major.ptr + 1, end, facts.kernel_minor);
    facts.landlock_abi = sys::landlock_abi();
    SUB_TRY_ASSIGN(facts.root_entries, read_root_entries());
    facts.device_nodes = existing_device_nodes();
    const bool all_ids = may_map_all_ids();
    SUB_TRY_ASSIGN(facts.uid_extents, id_extents(all_ids, "uid_map", facts.uid));
    SUB_TRY_ASSIGN(facts.gid_extents, id_extents(all_ids, "gid_map", facts.gid));
    facts.fuse_binary = find_program(env, "fuse-overlayfs");
    facts.path_guard = path_guard();
    facts.veth = veth();
    const MachineSize size = machine_size();
    facts.memory_bytes = size.memory_bytes;
    facts.most_processes = size.most_processes;
    facts.process_count = process_count(facts);
    SUB_TRY(probe_namespaces(facts, options));
    return facts;
}

}  // namespace substrate::world
