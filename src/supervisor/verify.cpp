#include "supervisor/verify.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <sys/wait.h>

#include <array>
#include <functional>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "base/text.hpp"
#include "egress/access_rules.hpp"
#include "supervisor/command_line.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"
#include "sys/socket.hpp"
#include "sys/tree_ops.hpp"
#include "world/uplink.hpp"

namespace substrate::supervisor {
namespace {

std::string shell_quote(const std::string& word) { return shell_join({word}); }

constexpr std::int64_t kPatienceNs = 20'000'000'000;  // for one attempt

// What one attempt in a world of its own has shown.
struct Attempt {
    int exit = -1;
    std::string output;
    plan::WorldPlan plan;
    bool has_group = false;
    world::CgroupUsage usage;
};

class Verifier {
  public:
    Verifier(const Machine& machine, std::string scratch) : machine_(machine), scratch_(std::move(scratch)) {}
    Verifier(const Verifier&) = delete;
    Verifier& operator=(const Verifier&) = delete;
    ~Verifier();

    Result<> open();
    std::vector<Check> run();

  private:
    Result<Attempt> attempt(const Project::Wanted& wanted, const std::string& script);
    Result<int> follow(world::World& world, int output, std::string& text) const;
    void check(const char* id, const Project::Wanted& wanted, const std::string& script,
               const std::function<std::string(const Attempt&)>& why_not);
    void check_files();
    void check_kernel();
    void check_network();
    void check_limits();
    // One more attempt at what the last check is about, which has passed.
    void also(const Project::Wanted& wanted, const std::string& script,
              const std::function<std::string(const Attempt&)>& why_not);
    Result<std::unique_ptr<Network::Served>> serve(SessionWorld& world) const;
    bool outside_is_untouched() const;
    std::string project_path() const { return scratch_ + "/project"; }
    std::string outside() const { return scratch_ + "/outside"; }

    const Machine& machine_;
    std::string scratch_;
    // The network writes records as long as it lives.
    std::optional<trace::TraceWriter> trace_;
    std::shared_ptr<Network> network_;
    std::shared_ptr<Project> project_;
    std::vector<Check> checks_;
};

Verifier::~Verifier() {
    network_.reset();
    // Best effort: what stays lies in a directory that names itself.
    if (project_) (void)sys::remove_tree_at(AT_FDCWD, project_->store().path());
    (void)sys::remove_tree_at(AT_FDCWD, scratch_);
}

Result<> Verifier::open() {
    for (const std::string& dir : {project_path() + "/src", project_path() + "/build", outside()})
        SUB_TRY(sys::make_dirs(dir, 0755));
    SUB_TRY_ASSIGN(project_, Project::open(machine_, project_path()));
    SUB_TRY(sys::make_dirs(scratch_ + "/trace", 0700));
    SUB_TRY_ASSIGN(trace_, trace::TraceWriter::open(scratch_ + "/trace"));
    network_ = std::make_shared<Network>(machine_.env, *trace_,
                                         std::string(parent_of(machine_.init_program)) + "/substrate-gateway",
                                         broker::Places());  // its rules name no tool
    return {};
}

// Until the output and the command have ended.
Result<int> Verifier::follow(world::World& world, int output, std::string& text) const {
    const std::int64_t deadline = machine_.env.monotonic_ns() + kPatienceNs;
    const auto wait = [&](int fd) -> Result<> {
        const std::int64_t left = (deadline - machine_.env.monotonic_ns()) / 1'000'000;
        SUB_TRY_ASSIGN(const bool ready, sys::wait_readable(fd, left > 0 ? static_cast<int>(left) : 0));
        if (!ready) return fail({Errc::unavailable, "the attempt did not end in time"});
        return {};
    };
    std::array<char, 4096> buffer{};
    for (;;) {
        SUB_TRY(wait(output));
        SUB_TRY_ASSIGN(const std::size_t n, sys::read_some(output, buffer));
        if (n == 0) break;
        if (text.size() < 1 << 16) text.append(buffer.data(), n);
    }
    for (;;) {
        SUB_TRY(wait(world.event_fd()));
        SUB_TRY_ASSIGN(const world::Event event, world.receive());
        if (const auto* failed = std::get_if<world::Failed>(&event)) return fail(world.describe(*failed));
        if (const auto* exited = std::get_if<world::Exited>(&event))
            return WIFSIGNALED(exited->wait_status) ? 128 + WTERMSIG(exited->wait_status)
                                                    : WEXITSTATUS(exited->wait_status);
    }
}

Result<Attempt> Verifier::attempt(const Project::Wanted& wanted, const std::string& script) {
    SUB_TRY_ASSIGN(Project::Lease lease, project_->acquire(machine_, wanted));
    SessionWorld& world = *lease.world;
    Attempt made;
    made.plan = world.plan;
    made.has_group = world.cgroup.exists();
    const auto try_it = [&]() -> Result<int> {
        SUB_TRY_ASSIGN(sys::Pipe pipe, sys::make_pipe());
        SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDONLY));
        world::ExecOrder order;
        SUB_TRY_ASSIGN(order.slot.path, world.prepare_slot(project_->store()));
        ExecRequest request;
        request.cmd = script;
        request.cwd = project_path();
        request.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"LC_ALL", "C"}};
        set_command(order, request, world.id(), make_span_id(machine_.env));
        SUB_TRY(world.world.exec(order, {null.get(), pipe.write.get(), pipe.write.get()}));
        pipe.write.reset();
        std::unique_ptr<Network::Served> served;
        if (wanted.net) {
            SUB_TRY_ASSIGN(served, serve(world));
        }
        return follow(world.world, pipe.read.get(), made.output);
    };
    const Result<int> exit = try_it();
    if (made.has_group)
        if (auto usage = world.cgroup.usage()) made.usage = *usage;
    const std::string id = world.id();
    lease.world.reset();
    SUB_TRY(project_->store().discard("worlds/" + id));
    project_->store().empty_trash();
    if (!exit) return fail(exit.error());
    made.exit = *exit;
    return made;
}

void Verifier::check(const char* id, const Project::Wanted& wanted, const std::string& script,
                     const std::function<std::string(const Attempt&)>& why_not) {
    Check made{.id = id};
    const auto tried = attempt(wanted, script);
    if (!tried) {
        made.result = CheckResult::fail;
        made.detail = tried.error().describe();
    } else if (made.detail = why_not(*tried); !made.detail.empty()) {
        made.result = CheckResult::fail;
        if (!tried->output.empty()) made.detail += ": " + printable(tried->output.substr(0, 200));
    } else {
        made.result = CheckResult::pass;
    }
    checks_.push_back(std::move(made));
}

bool Verifier::outside_is_untouched() const {
    const auto dir = sys::open_path(outside(), O_RDONLY | O_DIRECTORY);
    if (!dir) return false;
    sys::DirectoryReader reader(dir->get());
    const auto entry = reader.next();
    return entry && *entry == nullptr;
}

void Verifier::check_files() {
    const Project::Wanted read_only{.fresh = true,
                                    .fs = {.mode = WorldFsMode::read_only, .project_writable = false}};
    const auto refused = [](const Attempt& seen) {
        return seen.output.contains("REFUSED") && !seen.output.contains("WRITTEN") ? ""
                                                                                   : "the file was written";
    };
    const auto write = [](const std::string& path) {
        return "if (echo x >" + path + ") 2>/dev/null; then echo WRITTEN; else echo REFUSED; fi;";
    };
    check("read_only_relative_write", read_only, write("file") + write("src/file"), refused);
    check("read_only_absolute_write", read_only,
          write(shell_quote(project_path() + "/file")) + write("/proc/self/cwd/file"), refused);
    std::string attack;
    for (const std::string& path :
         {std::string("/usr/substrate-verify"), std::string("/etc/substrate-verify"),
          shell_quote(machine_.facts.home + "/.substrate-verify"),
          std::string("/proc/self/root/usr/substrate-verify")})
        attack += write(path);
    attack += "(echo x >" + shell_quote(outside() + "/file") + ") 2>/dev/null; ln -s " +
              shell_quote(outside()) + " out; (echo x >out/linked) 2>/dev/null; true";
    check("workspace_outside_write", {.fresh = true, .fs = {}}, attack,
          [&](const Attempt& seen) -> std::string {
              if (seen.output.contains("WRITTEN")) return "a file outside the project was written";
              return outside_is_untouched() ? "" : "a file appeared on the host outside the project";
          });
    const Project::Wanted full{.fresh = true,
                               .fs = {.isolation = WorldFsIsolation::full,
                                      .project_writable = false,
                                      .writable = {project_path() + "/build"}}};
    std::string looks;
    for (const std::string& path : {std::string("/home"), std::string("/root"), std::string("/var/log"),
                                    shell_quote(outside()), std::string("/etc/shadow")})
        looks += "[ -s " + path + " ] && echo SEEN " + path + ";";
    check("full_isolation_host_paths", full, looks + " [ -d /project/src ] && echo DONE",
          [](const Attempt& seen) -> std::string {
              if (seen.output.contains("SEEN")) return "a path of the host can be named";
              return seen.output.contains("DONE") ? "" : "the project is not at /project";
          });
    check("full_isolation_write_allowlist", full,
          write("src/file") + write("/project/file") + "touch build/allowed && echo ALLOWED",
          [&](const Attempt& seen) -> std::string {
              if (*refused(seen) != '\0') return refused(seen);
              return seen.output.contains("ALLOWED") ? "" : "the part that is allowed cannot be written";
          });
}

void Verifier::check_kernel() {
    const Project::Wanted usual{.fresh = true, .fs = {}};
    const auto host_pids = sys::read_link_at(AT_FDCWD, "/proc/self/ns/pid");
    check("pid_isolation", usual, "readlink /proc/self/ns/pid; ls -d /proc/[0-9]* | wc -l",
          [&](const Attempt& seen) -> std::string {
              const auto line = seen.output.find('\n');
              if (!host_pids || line == std::string::npos) return "nothing was seen";
              if (seen.output.substr(0, line) == *host_pids) return "it is the host's pid namespace";
              constexpr int kOwn = 8;  // world-init and this pipeline
              const int processes = std::atoi(seen.output.c_str() + line + 1);
              return processes > 0 && processes <= kOwn ? "" : "processes of the host are visible";
          });
    check_network();
    check("seccomp", usual, "grep -c '^Seccomp:.*2' /proc/self/status; unshare -U true && echo MADE",
          [](const Attempt& seen) -> std::string {
              if (!seen.output.starts_with("1\n")) return "no filter is loaded";
              return seen.output.contains("MADE") ? "a user namespace was made" : "";
          });
    if (machine_.facts.landlock_abi < 2) {
        checks_.push_back({.id = "landlock", .detail = "the kernel has no Landlock that could be used"});
        return;
    }
    // No mount holds this one.
    check("landlock", usual, "(echo 1000 >/proc/self/oom_score_adj) 2>/dev/null && echo WRITTEN; true",
          [](const Attempt& seen) -> std::string {
              return seen.output.contains("WRITTEN") ? "what only Landlock forbids was possible" : "";
          });
    if (checks_.back().result == CheckResult::pass)
        checks_.back().detail =
            fmt::format("ABI {}", std::min(machine_.facts.landlock_abi, plan::kLandlockKnownAbi));
}

void Verifier::also(const Project::Wanted& wanted, const std::string& script,
                    const std::function<std::string(const Attempt&)>& why_not) {
    const Check before = std::move(checks_.back());
    checks_.pop_back();
    check(before.id.c_str(), wanted, script, why_not);
    if (checks_.back().result == CheckResult::pass) checks_.back().detail = before.detail;
}

// Its sockets come with its first command.
Result<std::unique_ptr<Network::Served>> Verifier::serve(SessionWorld& world) const {
    while (!world.world.has_uplink()) {
        SUB_TRY_ASSIGN(const bool ready,
                       sys::wait_readable(world.world.event_fd(), static_cast<int>(kPatienceNs / 1'000'000)));
        if (!ready) return fail({Errc::unavailable, "the world's way out was not made in time"});
        SUB_TRY_ASSIGN(const world::Event event, world.world.receive());
        if (const auto* failed = std::get_if<world::Failed>(&event))
            return fail(world.world.describe(*failed));
    }
    return Network::serve(network_, world.id(), world.net,
                          world::sorted_uplink(world.world.take_uplink(), world.plan).served);
}

// No packet of this leaves the machine: what is asked for is refused by the world or by the gateway.
void Verifier::check_network() {
    check("network_default_deny", {.fresh = true, .fs = {}},
          "tail -n +3 /proc/net/dev | cut -d: -f1; echo routes; tail -n +2 /proc/net/route",
          [](const Attempt& seen) -> std::string {
              std::string text = seen.output;
              std::erase(text, ' ');
              return text == "lo\nroutes\n" ? "" : "there is more than the loopback";
          });
    // The same where a policy opens one name: RFC 2606 and RFC 5737 keep these for such uses.
    Policy policy;
    policy.net.allowed = std::vector<std::string>{"verify.invalid"};
    auto order = std::make_shared<NetworkOrder>();
    order->rules = egress::AccessRules::write({policy}, {});
    const Project::Wanted opened{.net = std::move(order), .fresh = true, .fs = {}};
    // A world that cannot be made has shown nothing, good or bad.
    const auto first = attempt(opened, "true");
    if (!first) {
        checks_.push_back({.id = "dns_pinned", .detail = first.error().describe()});
        return;
    }
    if (checks_.back().result == CheckResult::pass)
        also(opened,
             "for to in tcp/192.0.2.7/443 tcp/192.0.2.7/53 udp/192.0.2.7/443; do if (exec 3<>/dev/$to && "
             "printf x "
             ">&3 && timeout 1 head -c 1 <&3 | grep -q .) 2>/dev/null; then echo REACHED $to; fi; done; echo "
             "DONE",
             [](const Attempt& seen) -> std::string {
                 if (seen.output.contains("REACHED")) return "an address that no policy opens can be reached";
                 return seen.output == "DONE\n" ? "" : "the attempt did not end as it should";
             });
    // A question for a name that is not allowed, as RFC 1035 has it: the answer's code is REFUSED.
    check(
        "dns_pinned", opened,
        "cat /etc/resolv.conf; ask() { exec 3<>/dev/udp/$1/53 && printf "
        "'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x06denied\\x07invalid\\0\\0\\x01\\0\\x01' >&3 && "
        "timeout "
        "$2 head -c 4 <&3 | od -An -tx1; }; ask 127.0.0.53 10; echo elsewhere; ask 192.0.2.53 1 2>/dev/null; "
        "echo end",
        [](const Attempt& seen) -> std::string {
            const std::string& text = seen.output;
            if (!text.starts_with("nameserver 127.0.0.53\n")) return "/etc/resolv.conf names another server";
            if (!text.ends_with("elsewhere\nend\n")) return "another name server can be asked";
            const auto answer = text.find(" 12 34 8");
            constexpr std::size_t kCodeAt = 11;  // the lower half of the fourth byte
            if (answer == std::string::npos || text.size() < answer + kCodeAt + 1 ||
                text[answer + kCodeAt] != '5')
                return "a name that is not allowed is not refused";
            return {};
        });
}

void Verifier::check_limits() {
    const Project::Wanted limited{.fresh = true, .fs = {}, .limits = {.memory_bytes = 256 << 20, .pids = 16}};
    std::string missing;
    // sh gives up at the first process that it cannot start, or after some tries; those that it has
    // started are still there then.
    check("cgroup_limits", limited, "exec sh -c 'for i in $(seq 20); do sleep 4 & done' >/dev/null 2>&1",
          [&](const Attempt& seen) -> std::string {
              for (const Degradation& degradation : seen.plan.degradations)
                  if (degradation.component == "cgroup") missing = degradation.reason;
              if (!missing.empty()) return {};
              return seen.usage.pids_max_hits.value_or(0) > 0 ? "" : "more processes ran than were allowed";
          });
    if (missing.empty()) return;
    checks_.back().result = CheckResult::skip;
    checks_.back().detail = missing;
}

std::vector<Check> Verifier::run() {
    check("world_backend", {.fresh = true, .fs = {}}, "echo works", [](const Attempt& seen) -> std::string {
        return seen.output == "works\n" && seen.exit == 0 ? "" : "a command does not run as it should";
    });
    checks_.back().enforcement = false;
    if (checks_.back().result == CheckResult::pass) {
        checks_.back().detail = "local";
        check_files();
        check_kernel();
        check_limits();
    }
    return std::move(checks_);
}

}  // namespace

const char* to_string(CheckResult result) {
    switch (result) {
        case CheckResult::pass: return "pass";
        case CheckResult::fail: return "fail";
        case CheckResult::skip: return "skip";
    }
    return "skip";
}

Result<std::vector<Check>> verify_worlds(const Machine& machine, const std::string& root) {
    SUB_TRY_ASSIGN(std::string scratch, sys::make_temp_dir(root + "/substrate-verify-"));
    Verifier verifier(machine, std::move(scratch));
    SUB_TRY(verifier.open());
    return verifier.run();
}

}  // namespace substrate::supervisor
