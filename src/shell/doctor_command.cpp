// What `substrate world doctor` asks of the machine.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "model/exit_codes.hpp"
#include "process/spawn.hpp"
#include "shell/commands.hpp"
#include "shell/doctor.hpp"
#include "supervisor/client.hpp"
#include "supervisor/gateway_process.hpp"
#include "supervisor/store.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"
#include "world/cgroup.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

std::string line_of(const std::string& path) {
    const auto text = sys::read_file(path, 1 << 16);
    return text ? text->substr(0, text->find('\n')) : std::string();
}

std::string value_after(const std::string& text, std::string_view key) {
    const auto at = text.find(key);
    if (at == std::string::npos) return {};
    const auto begin = at + key.size();
    std::string value = text.substr(begin, text.find('\n', begin) - begin);
    while (!value.empty() && (value.front() == '"' || value.front() == '\t' || value.front() == ' '))
        value.erase(0, 1);
    while (!value.empty() && value.back() == '"') value.pop_back();
    return value;
}

// By making a group with limits, as for a world.
void try_limits(const Console& console, MachineNotes& notes) {
    const auto ground = world::find_cgroup_ground();
    if (!ground) return notes.missing_limits.push_back({"cgroup", ground.error().describe(), {}});
    bool v1 = false;
    for (const auto& place : ground->v1) v1 |= place.has_value();
    if (v1) notes.cgroup_version = 1;
    else if (ground->unified) notes.cgroup_version = 2;
    notes.cgroup_detail = v1 ? (ground->unified ? "hybrid: the controllers are version 1's" : "version 1")
                             : (ground->unified ? "version 2" : "not mounted");
    const plan::Limits small{.cpu_millis = 100, .memory_bytes = 64 << 20, .pids = 16};
    const auto group = world::Cgroup::make(*ground, make_world_id(console.env), small);
    if (!group) notes.missing_limits.push_back({"cgroup", group.error().describe(), {}});
    else notes.missing_limits = group->degradations();
    const auto io = world::Cgroup::make(*ground, make_world_id(console.env), {.io = {.read_bps = 1 << 20}});
    if (!io) notes.missing_io_limits.push_back({"cgroup", io.error().describe(), {}});
    else notes.missing_io_limits = io->degradations();
    notes.cgroup_controllers = world::controllers_of(*ground);
}

// "1.10" of "fuse-overlayfs: version 1.10", where `before` is "version "; empty when it says
// something else.
Result<std::string> ask_version(std::string program, std::string_view before) {
    std::string flag = "--version";
    std::array<char*, 3> argv = {program.data(), flag.data(), nullptr};
    std::array<char*, 1> envp = {nullptr};
    SUB_TRY_ASSIGN(sys::Pipe pipe, sys::make_pipe());
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    process::ChildPlan plan;
    plan.program = program.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    for (const int source : {null.get(), pipe.write.get(), null.get()}) {
        plan.placements[plan.placement_count] = {source, static_cast<int>(plan.placement_count)};
        ++plan.placement_count;
    }
    SUB_TRY_ASSIGN(const process::Child child, process::spawn(plan));
    pipe.write.reset();
    auto text = sys::read_to_end(pipe.read.get(), 1 << 16);
    SUB_TRY(process::wait_for(child));
    SUB_TRY(text);
    std::string version = value_after(*text, before);
    version.resize(std::min(version.find(' '), version.size()));
    return version;
}

std::string first_program(std::initializer_list<const char*> places) {
    for (const char* place : places)
        if (::access(place, X_OK) == 0) return place;
    return {};
}

MachineNotes look_around(const Console& console, const plan::HostFacts& facts) {
    MachineNotes notes;
    if (const auto release = sys::read_file("/etc/os-release", 1 << 16))
        notes.distribution = value_after(*release, "PRETTY_NAME=");
    try_limits(console, notes);
    notes.nft = first_program({"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"});
    if (!notes.nft.empty())
        if (const auto version = ask_version(notes.nft, "nftables v"))
            notes.nft_version = printable(*version);
    notes.podman = first_program({"/usr/bin/podman", "/usr/local/bin/podman"});
    notes.nix = first_program({"/nix/var/nix/profiles/default/bin/nix", "/run/current-system/sw/bin/nix",
                               "/usr/bin/nix", "/usr/local/bin/nix"});
    notes.lima = first_program({"/usr/bin/limactl", "/usr/local/bin/limactl", "/opt/homebrew/bin/limactl"});
    notes.microvm_program = first_program({"/usr/bin/firecracker", "/usr/local/bin/firecracker",
                                           "/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-system-aarch64"});
    for (const std::string& kernel :
         {"/boot/vmlinuz-" + facts.kernel_release, std::string("/boot/vmlinuz"), std::string("/vmlinuz")})
        if (notes.microvm_kernel.empty() && ::access(kernel.c_str(), R_OK) == 0)
            notes.microvm_kernel = kernel;
    notes.gateway = supervisor::sibling_program("substrate-gateway");
    if (::access(notes.gateway.c_str(), X_OK) != 0) notes.gateway.clear();
    if (!notes.gateway.empty())
        if (const auto started = supervisor::try_gateway(notes.gateway); !started)
            notes.gateway_problem = printable(started.error().message());
    notes.ip_forward = line_of("/proc/sys/net/ipv4/ip_forward");
    notes.agent_socket = console.home.control_socket();
    notes.seccomp_actions = line_of("/proc/sys/kernel/seccomp/actions_avail");
    notes.dmesg_restrict = line_of("/proc/sys/kernel/dmesg_restrict");
    notes.apparmor_userns = line_of("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    const std::string enforcing = line_of("/sys/fs/selinux/enforce");
    notes.selinux = enforcing.empty() ? "disabled" : enforcing == "1" ? "enforcing" : "permissive";
    if (const auto status = sys::read_file("/proc/self/status", 1 << 16))
        notes.capabilities = value_after(*status, "CapEff:");
    notes.kvm = ::access("/dev/kvm", R_OK | W_OK) == 0;
    notes.fuse_device = ::access("/dev/fuse", R_OK | W_OK) == 0;
    if (!facts.fuse_binary.empty())
        if (const auto version = ask_version(facts.fuse_binary, "version "))
            notes.fuse_version = printable(*version);
    struct ::stat st{};
    notes.docker = ::stat("/var/run/docker.sock", &st) == 0;
    notes.agent_running = supervisor::Client::connect_existing(console.home).has_value();
    for (std::string& root : supervisor::capture_roots(console.env, console.home)) {
        MachineNotes::CaptureRoot note{.path = std::move(root), .bytes_left = {}};
        if (const auto dir = sys::open_path(note.path, O_PATH))
            if (const auto space = sys::disk_space(dir->get())) note.bytes_left = space->bytes_left;
        notes.capture_roots.push_back(std::move(note));
    }
    return notes;
}

}  // namespace

std::string probe_scratch(const Console& console) {
    return supervisor::usual_capture_root(supervisor::capture_roots(console.env, console.home));
}

int world_doctor(const Console& console, const WorldOptions& options) {
    if (auto made = supervisor::create_home(console.home); !made) return console.fail_with(made.error());
    auto facts = world::probe_host(console.env, {supervisor::sibling_program("substrate-world-init"),
                                                 console.home.path, probe_scratch(console)});
    if (!facts) return console.fail_with(facts.error());
    const MachineNotes notes = look_around(console, *facts);
    const std::vector<Finding> findings = judge(*facts, notes);
    if (options.json) {
        console.out(dump_json_pretty(doctor_json(*facts, notes, findings)) + "\n");
    } else {
        constexpr const char* kWords[] = {"PASS", "WARN", "FAIL", "INFO"};
        for (const Finding& finding : findings) {
            console.out(fmt::format("{}  {:<18} {}\n", kWords[static_cast<int>(finding.verdict)],
                                    finding.what, printable(finding.detail)));
            if (!finding.fix.empty()) console.out(fmt::format("      {:<18} fix: {}\n", "", finding.fix));
        }
    }
    return facts->overlay.ok || facts->fuse.ok ? 0 : to_int(ExitCode::unsupported);
}

}  // namespace substrate::shell
