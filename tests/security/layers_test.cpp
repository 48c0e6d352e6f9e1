// layers_test EXTRA BASE WAY GROUP…: the payloads in worlds that lack one layer each.
//
// Whatever two layers are promised for must be refused while either is missing. EXTRA
// holds this folder (payloads.txt, open.txt) and the payloads' programs; BASE is an
// empty directory that worlds show; WAY is root or user; a GROUP is a word of the
// table's second column. Prints a row for each payload: `.` refused, `S` succeeded, `o` succeeded
// and known, `-` cannot be tried, `?` unexpected.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/tree_ops.hpp"
#include "world/cgroup.hpp"
#include "world/host_sockets.hpp"
#include "world/probe.hpp"
#include "world/seccomp.hpp"
#include "world/world.hpp"

namespace substrate {
namespace {

constexpr int kSucceeded = 66;
constexpr int kNotHere = 77;
constexpr int kHangMs = 20'000;

struct WorldParts {
    plan::WorldPlan plan;
    world::SeccompProgram seccomp;
    bool cgroup = true;
};

// A layer, and how a plan loses it. False: this way of being someone never had it.
struct Layer {
    const char* name;
    bool (*switch_off)(WorldParts& parts);
};

bool without_seccomp(WorldParts& parts) {
    parts.plan.seccomp = SeccompMode::off;
    parts.seccomp = {};
    return true;
}

bool without_user_namespace(WorldParts& parts) {
    if (::geteuid() != 0) return false;  // nobody else gets a world without
    parts.plan.user_namespace = false;
    parts.plan.user_namespaces_inside = true;
    parts.plan.capture.user_xattrs = false;
    return true;
}

bool without_masks(WorldParts& parts) {
    std::erase_if(parts.plan.mounts, [](const plan::MountOp& op) {
        return std::holds_alternative<plan::Mask>(op.action) ||
               std::holds_alternative<plan::ReadOnly>(op.action);
    });
    parts.plan.capture.masks.clear();
    return true;
}

bool without_read_only(WorldParts& parts) {
    for (plan::MountOp& op : parts.plan.mounts) {
        if (auto* bind = std::get_if<plan::Bind>(&op.action)) bind->read_only = false;
        if (auto* tmpfs = std::get_if<plan::Tmpfs>(&op.action)) tmpfs->read_only = false;
    }
    return true;
}

bool without_network(WorldParts& parts) {
    parts.plan.network = plan::NetworkMode::host;
    return true;
}

bool without_limit_of_namespaces(WorldParts& parts) {
    if (!parts.plan.user_namespace) return false;
    parts.plan.user_namespaces_inside = true;
    return true;
}

bool without_landlock(WorldParts& parts) {
    parts.plan.landlock = {};
    return true;
}

bool without_cgroup(WorldParts& parts) {
    parts.cgroup = false;
    return true;
}

bool without_limit_of_processes(WorldParts& parts) {
    return std::exchange(parts.plan.limits.pids_by_user, false);
}

// Every layer that a plan can lose. One that is new in the plan gets a row here and its
// name in the third column of payloads.txt, and is in every test.
constexpr std::array kLayers = {
    Layer{"none", [](WorldParts&) { return true; }},
    Layer{"seccomp", without_seccomp},
    Layer{"userns", without_user_namespace},
    Layer{"masks", without_masks},
    Layer{"readonly", without_read_only},
    Layer{"net", without_network},
    Layer{"landlock", without_landlock},
    Layer{"nslimit", without_limit_of_namespaces},
    Layer{"cgroup", without_cgroup},
    Layer{"rlimit", without_limit_of_processes},
};

struct Payload {
    std::string id, where, line;
    std::set<std::string> layers;
};

std::string trim(const std::string& text) {
    const auto begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

std::set<std::string> words(const std::string& text) {
    std::istringstream in(text);
    std::set<std::string> result;
    for (std::string word; in >> word;) result.insert(word);
    return result;
}

// The rows of a table with `columns` columns.
std::vector<std::vector<std::string>> read_table(const std::string& path, std::size_t columns) {
    std::vector<std::vector<std::string>> rows;
    std::istringstream in(sys::read_file(path).value());
    for (std::string line; std::getline(in, line);) {
        if (line.empty() || line.front() == '#') continue;
        std::vector<std::string> row;
        while (row.size() + 1 < columns) {
            const auto bar = std::min(line.find('|'), line.size());
            row.push_back(trim(line.substr(0, bar)));
            line.erase(0, std::min(bar + 1, line.size()));
        }
        row.push_back(trim(line));
        rows.push_back(std::move(row));
    }
    return rows;
}

bool is_guarded() { return ::getenv("SUBSTRATE_TEST_GUARDED") != nullptr; }

// What payloads look for, and must not find.
class Host {
  public:
    explicit Host(std::string base) : base_(std::move(base)) {}

    bool plant(const std::string& programs) {
        for (const char* name : {"/outside/open", "/outside/directory", "/work/project/bin", "/store",
                                 "/home/.ssh", "/home/.aws", "/home/.gnupg", "/home/.config/gcloud",
                                 "/home/.kube", "/home/.mozilla", "/state/sock"})
            if (!sys::make_dirs(base_ + name, 0755)) return false;
        for (const char* name : {"/home/.ssh/id_ed25519", "/home/.aws/credentials", "/home/.gnupg/key",
                                 "/home/.config/gcloud/token", "/home/.kube/config", "/home/.mozilla/cookies",
                                 "/home/.bashrc", "/state/trace.jsonl", "/outside/stdin"})
            if (!sys::replace_file(base_ + name, "before\n", 0644)) return false;
        if (::mkfifo((base_ + "/outside/fifo").c_str(), 0600) != 0) return false;
        if (const char* planted = ::getenv("SUBSTRATE_TEST_OUTSIDE"); planted != nullptr)
            if (::symlink((std::string(planted) + "/planted").c_str(),
                          (base_ + "/outside/planted").c_str()) != 0)
                return false;
        for (const char* name :
             {"descriptors", "devices", "doors", "exhaust", "files", "kernel", "keyrings", "mounts",
              "namespaces", "other_abi", "privileges", "process1", "signals", "sockets", "terminal"}) {
            const auto program = sys::read_file(programs + "/" + name);
            if (!program || !sys::replace_file(project() + "/bin/" + name, *program, 0755)) return false;
        }
        abstract_ = "substrate-layers-" + std::to_string(::getpid());
        // What the guard has an empty place for.
        if (is_guarded())
            for (const char* name :
                 {"/run/dbus/system_bus_socket", "/run/docker/sock", "/run/systemd/private", "/run/user/bus"})
                if (!listen_on(name)) return false;
        return listen_on(base_ + "/outside/socket") && listen_on(base_ + "/outside/dgram", SOCK_DGRAM) &&
               listen_on(base_ + "/state/sock/control.sock") && listen_on(std::string(1, '\0') + abstract_) &&
               make_terminal() && start_witness();
    }
    ~Host() {
        if (witness_ > 0) {
            ::kill(witness_, SIGKILL);
            ::waitpid(witness_, nullptr, 0);
        }
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    // What the last payload may have taken.
    void mend() {
        for (const char* name : {"/outside/open/file", "/outside/open/victim"})
            (void)sys::replace_file(base_ + name, "before\n", 0644);
    }
    int terminal() const { return terminal_.get(); }
    bool witness_lives() const { return ::waitpid(witness_, nullptr, WNOHANG) == 0; }

    std::string fill_in(std::string line) const {
        const std::array<std::pair<std::string, std::string>, 8> names = {{
            {"@OUTSIDE@", base_ + "/outside"},
            {"@HOME@", base_ + "/home"},
            {"@STATE@", base_ + "/state"},
            {"@PROJECT@", project()},
            {"@PARENT@", base_ + "/work"},
            {"@PID@", std::to_string(witness_)},
            {"@ABSTRACT@", abstract_},
            {"@TMP@", "/tmp/substrate-no-such"},
        }};
        for (const auto& [name, value] : names)
            for (std::size_t at = 0; (at = line.find(name, at)) != std::string::npos;)
                line.replace(at, name.size(), value);
        return line.starts_with("sh:") ? line.substr(3) : project() + "/bin/" + line;
    }
    const std::string& base() const { return base_; }
    std::string project() const { return base_ + "/work/project"; }

  private:
    bool listen_on(const std::string& name, int type = SOCK_STREAM) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (name.size() + 1 >= sizeof address.sun_path) return false;
        std::memcpy(address.sun_path, name.data(), name.size());
        sys::UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
        if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return false;
        if (type != SOCK_DGRAM && ::listen(fd.get(), 64) != 0) return false;
        sockets_.push_back(std::move(fd));
        return true;
    }
    bool make_terminal() {
        leader_ = sys::UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        char name[64] = {};
        if (::grantpt(leader_.get()) != 0 || ::unlockpt(leader_.get()) != 0 ||
            ::ptsname_r(leader_.get(), name, sizeof name) != 0)
            return false;
        terminal_ = sys::UniqueFd(::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC));
        return static_cast<bool>(terminal_);
    }
    // A process that any signal would end.
    bool start_witness() {
        witness_ = ::fork();
        if (witness_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::setsid();
            ::ioctl(terminal_.get(), TIOCSCTTY, 0);  // the terminal of a session of the host
            for (;;) ::pause();
        }
        return witness_ > 0;
    }

    std::string base_, abstract_;
    std::vector<sys::UniqueFd> sockets_;
    sys::UniqueFd leader_, terminal_;
    pid_t witness_ = -1;
};

// The world that lacks one layer; made anew when a payload has ended it.
class Worlds {
  public:
    Worlds(const Host& host, plan::HostFacts facts) : host_(host), facts_(std::move(facts)) {}

    // Nothing where the layer was never there.
    Result<bool> make(const Layer& layer) {
        world_.reset();
        parts_.cgroup = true;
        plan::WorldSpec spec;
        spec.world_id = make_world_id(env_);
        spec.project = HostPath(host_.project());
        SUB_TRY_ASSIGN(const auto st, sys::stat_at(AT_FDCWD, spec.project.c_str()));
        if (!st) return fail({Errc::internal, "the project is gone"});
        spec.project_device = sys::device_of(st.value());
        spec.project_inode = st.value().stx_ino;
        spec.store = HostPath(host_.base() + "/store");
        spec.capture =
            facts_.overlay.ok && !is_guarded() ? CaptureStrategy::overlay : CaptureStrategy::direct;
        SUB_TRY_ASSIGN(spec.sockets, world::host_sockets());
        SUB_TRY_ASSIGN(parts_.plan, plan::plan_world(spec, facts_));
        SUB_TRY_ASSIGN(parts_.seccomp, world::compile_seccomp(SeccompMode::enforce));
        if (!layer.switch_off(parts_)) return false;
        slot_ = "worlds/" + spec.world_id + "/slots/0";
        for (const char* part : {"/upper", "/work"})
            SUB_TRY(sys::make_dirs(host_.base() + "/store/" + slot_ + part, 0755));
        group_ = world::Cgroup::none();
        if (parts_.cgroup) {
            SUB_TRY_ASSIGN(const world::CgroupGround ground, world::find_cgroup_ground());
            SUB_TRY_ASSIGN(group_, world::Cgroup::make(ground, spec.world_id, parts_.plan.limits));
        }
        SUB_TRY_ASSIGN(auto launched,
                       world::World::launch(parts_.plan, {init_program(), &parts_.seccomp, &group_}));
        world_.emplace(std::move(launched));
        return true;
    }

    // The exit code of a shell line; 128 and the number for a signal.
    Result<int> run(const std::string& line, int input) {
        SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
        world::ExecOrder order;
        order.slot.path = slot_;
        order.program = "/bin/bash";
        order.argv = {"bash", "-c", line};
        order.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                             "SUBSTRATE_WORLD_ID=" + parts_.plan.world_id};
        order.cwd = host_.project();
        SUB_TRY(world_->exec(order, {input >= 0 ? input : null.get(), null.get(), null.get()}));
        for (;;) {
            // For a payload that hangs; its world ends with it.
            pollfd polled{world_->event_fd(), POLLIN, 0};
            if (::poll(&polled, 1, kHangMs) == 0) return fail({Errc::unavailable, "it hangs"});
            SUB_TRY_ASSIGN(const world::Event event, world_->receive());
            if (const auto* failed = std::get_if<world::Failed>(&event))
                return fail(world_->describe(*failed));
            if (const auto* exited = std::get_if<world::Exited>(&event)) {
                const int status = exited->wait_status;
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            }
        }
    }

  private:
    static std::string init_program() {
        const char* bin = ::getenv("SUBSTRATE_TEST_BIN");
        return std::string(bin != nullptr ? bin : ".") + "/substrate-world-init";
    }

    const Host& host_;
    sys::HostEnv env_;
    plan::HostFacts facts_;
    WorldParts parts_;
    std::string slot_;
    world::Cgroup group_ = world::Cgroup::none();  // outlives the processes in it
    std::optional<world::World> world_;
};

// What is known to be wrong: open.txt.
class OpenHoles {
  public:
    OpenHoles(const std::string& path, std::string way) : way_(std::move(way)) {
        for (const auto& row : read_table(path, 3)) holes_.push_back({row[0], words(row[1]), row[2]});
    }
    bool known(const std::string& id, const std::string& layer) const {
        return std::ranges::any_of(holes_, [&](const Hole& hole) {
            return hole.id == id && hole.ways.contains(layer == "none" ? way_ : way_ + "-without-" + layer);
        });
    }
    // Layers that rows promise and no world has yet.
    std::set<std::string> missing_layers() const {
        std::set<std::string> layers;
        for (const Hole& hole : holes_)
            if (hole.id.starts_with("layer-") && hole.ways.contains(way_)) layers.insert(hole.id.substr(6));
        return layers;
    }

  private:
    struct Hole {
        std::string id;
        std::set<std::string> ways;
        std::string why;
    };
    std::string way_;
    std::vector<Hole> holes_;
};

class Matrix {
  public:
    Matrix(Host& host, Worlds& worlds, const OpenHoles& open, bool is_root)
        : host_(host), worlds_(worlds), open_(open), is_root_(is_root) {}

    int run(const std::vector<Payload>& payloads) {
        std::vector<std::string> rows(payloads.size());
        std::string head;
        for (const Layer& layer : kLayers) {
            const auto made = worlds_.make(layer);
            if (!made) {
                std::printf("FAILED: no world without %s: %s\n", layer.name, made.error().message().c_str());
                return 1;
            }
            head += std::string(" ") + layer.name;
            for (std::size_t i = 0; i < payloads.size(); ++i)
                rows[i] += *made ? one(payloads[i], layer) : '-';
        }
        for (const std::string& layer : open_.missing_layers())
            if (!excused_.contains(layer) && with_layer(payloads, layer))
                complain("layer-" + layer + " holds by now: take it out of open.txt");
        std::printf("each without:%s\n", head.c_str());
        for (std::size_t i = 0; i < payloads.size(); ++i)
            std::printf("%-26s %s\n", payloads[i].id.c_str(), rows[i].c_str());
        for (const std::string& failure : failures_) std::printf("FAILED: %s\n", failure.c_str());
        std::printf("%zu payloads, %zu layers, %zu failures\n", payloads.size(), kLayers.size(),
                    failures_.size());
        return failures_.empty() ? 0 : 1;
    }

  private:
    char one(const Payload& payload, const Layer& layer) {
        host_.mend();
        const sys::UniqueFd input = open_input(payload.where);
        auto code = worlds_.run(host_.fill_in(payload.line), input.get());
        const std::string what = payload.id + " without " + layer.name;
        if (::getenv("SUBSTRATE_TEST_VERBOSE") != nullptr) std::fprintf(stderr, "%s\n", what.c_str());
        char shown = '?';
        // A directory of the host is given to no command.
        if (!code && payload.where == "stdin-dir") shown = '.';
        else if (!code) complain(what + ": " + code.error().message());
        else shown = judge(payload, layer, *code, what);
        if (!host_.witness_lives()) complain(what + " ended a process of the host");
        // What a payload leaves of a world must serve the next one.
        const auto usable = worlds_.run("true", -1);
        if (!usable || *usable != 0) {
            complain(what + ": no command runs afterwards" + (usable ? "" : ": " + usable.error().message()));
            if (!worlds_.make(layer)) complain("no further world");
        }
        return shown;
    }

    char judge(const Payload& payload, const Layer& layer, int code, const std::string& what) {
        const std::string name = layer.name;
        // What is open with every layer in place is so without one of them.
        const bool everywhere = open_.known(payload.id, "none");
        if (code == kNotHere) return '-';
        if (code == 0) {
            if (open_.known(payload.id, name)) complain(what + " is refused by now: take it out of open.txt");
            return '.';
        }
        if (code != kSucceeded) {
            complain(what + ": unexpected exit code " + std::to_string(code));
            return '?';
        }
        if (everywhere || open_.known(payload.id, name)) return 'o';
        std::set<std::string> left = payload.layers;
        if (is_root_) left.erase("dac");  // owns the files in question
        const bool promised = left.erase(name) != 0;
        if (promised && left.empty()) return 'S';
        if (promised && std::ranges::includes(open_.missing_layers(), left)) {
            excused_.insert(left.begin(), left.end());
            return 'o';
        }
        complain(what + " succeeded");
        return 'S';
    }

    static bool with_layer(const std::vector<Payload>& payloads, const std::string& layer) {
        return std::ranges::any_of(payloads, [&](const Payload& p) { return p.layers.contains(layer); });
    }

    sys::UniqueFd open_input(const std::string& where) {
        const std::string outside = host_.base() + "/outside";
        if (where == "stdin-file")
            return sys::UniqueFd(::open((outside + "/stdin").c_str(), O_RDONLY | O_CLOEXEC));
        if (where == "stdin-dir")
            return sys::UniqueFd(::open((outside + "/directory").c_str(), O_RDONLY | O_CLOEXEC));
        if (where != "pty") return {};
        return sys::UniqueFd(::fcntl(host_.terminal(), F_DUPFD_CLOEXEC, 0));
    }

    void complain(std::string text) { failures_.push_back(std::move(text)); }

    Host& host_;
    Worlds& worlds_;
    const OpenHoles& open_;
    bool is_root_;
    std::set<std::string> excused_;
    std::vector<std::string> failures_;
};

int run(const std::vector<std::string>& words_given) {
    if (words_given.size() < 4) {
        std::puts("layers_test EXTRA BASE WAY GROUP…");
        return 2;
    }
    const std::string &extra = words_given[0], &base = words_given[1], &way = words_given[2];
    const std::set<std::string> groups(words_given.begin() + 3, words_given.end());
    ::setenv("HOME", (base + "/home").c_str(), 1);
    Host host(base);
    if (!host.plant(extra + "/payloads")) {
        std::printf("FAILED: planting below %s: %s\n", base.c_str(), std::strerror(errno));
        return 1;
    }
    sys::HostEnv env;
    const char* bin = ::getenv("SUBSTRATE_TEST_BIN");
    auto facts = world::probe_host(env, {std::string(bin != nullptr ? bin : ".") + "/substrate-world-init",
                                         base + "/state", base + "/store"});
    if (!facts || !facts->user_namespace.ok) {
        std::printf("skipped: %s\n",
                    facts ? facts->user_namespace.reason.c_str() : facts.error().message().c_str());
        return 77;
    }
    std::vector<Payload> payloads;
    for (const auto& row : read_table(extra + "/security/payloads.txt", 4))
        if (groups.contains(row[1])) payloads.push_back({row[0], row[1], row[3], words(row[2])});
    const OpenHoles open(extra + "/security/open.txt", way);
    Worlds worlds(host, *facts);
    return Matrix(host, worlds, open, ::geteuid() == 0).run(payloads);
}

}  // namespace
}  // namespace substrate

int main(int argc, char** argv) { return substrate::run({argv + 1, argv + argc}); }
