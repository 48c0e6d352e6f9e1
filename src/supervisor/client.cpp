#include "supervisor/client.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "process/spawn.hpp"
#include "start/program_identity.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/protocol.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/socket.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kStartTimeoutMs = 20'000;

// The agent says "ready" on descriptor 3, or its error.
Result<> start_agent(const Env& env, const Home& home) {
    const std::string program = sibling_program("substrate-world-agent");
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail(Error::last_os("pipe2"));
    sys::UniqueFd read(fds[0]), write(fds[1]);
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    SUB_TRY_ASSIGN(const sys::UniqueFd log,
                   sys::open_path(home.agent_log(), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
    // What the agent may know of this environment; commands bring their own.
    std::vector<std::string> environment = {"SUBSTRATE_HOME=" + home.path};
    if (home.is_default) environment.clear();
    for (const char* name :
         {"HOME", "PATH", "XDG_RUNTIME_DIR", "LANG", "SUBSTRATE_AGENT_IDLE_SECS", "SUBSTRATE_WORLD_IDLE_SECS",
          "SUBSTRATE_STANDBY", "SUBSTRATE_API_READ_MS", "SUBSTRATE_API_WRITE_MS", "SUBSTRATE_API_DETACHED_MS",
          "SUBSTRATE_API_SESSION_IDLE_MS", "SUBSTRATE_LISTEN", "LSAN_OPTIONS", "ASAN_OPTIONS",
          "UBSAN_OPTIONS", "TSAN_OPTIONS"})
        if (auto value = env.variable(name)) environment.push_back(std::string(name) + "=" + *value);
    std::vector<char*> envp;
    for (std::string& variable : environment) envp.push_back(variable.data());
    envp.push_back(nullptr);
    std::string name = program;
    std::string flag = "--ready-fd=3";
    std::array<char*, 3> argv = {name.data(), flag.data(), nullptr};
    process::ChildPlan plan;
    plan.program = name.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    plan.cwd = "/";
    plan.new_session = true;
    plan.umask = 077;
    for (const int source : {null.get(), null.get(), log.get(), write.get()}) {
        plan.placements[plan.placement_count] = {source, static_cast<int>(plan.placement_count)};
        ++plan.placement_count;
    }
    auto child = process::spawn(plan);
    if (!child)
        return fail(std::move(child)
                        .error()
                        .during("starting the agent '" + program + "'")
                        .as(Errc::unavailable)
                        .hint("reinstall Substrate"));
    write.reset();
    SUB_TRY_ASSIGN(const bool answered, sys::wait_readable(read.get(), kStartTimeoutMs));
    if (!answered)
        return fail(Error(Errc::unavailable, "the agent does not get ready").hint("see " + home.agent_log()));
    SUB_TRY_ASSIGN(const std::string answer, sys::read_to_end(read.get(), 1 << 16));
    if (answer == "ready") return {};
    return fail(Error(Errc::unavailable, answer.empty() ? "the agent ended while starting" : answer)
                    .hint("see " + home.agent_log()));
}

Result<Channel> connect_or_start(const Env& env, const Home& home) {
    auto connected = sys::connect_stream(home.control_socket());
    if (connected) return Channel(std::move(*connected));
    if (connected.error().code() != Errc::unavailable) return fail(std::move(connected).error());
    // The agent's socket is not shown in worlds, and another agent could not make worlds there.
    if (env.variable("SUBSTRATE_WORLD_ID"))
        return fail(
            Error(Errc::unavailable, "this is a world without its door: nobody outside of it can be asked")
                .hint("it was not run"));
    SUB_TRY(create_home(home));
    // One client starts it, the others wait here and then find it.
    SUB_TRY_ASSIGN(const sys::UniqueFd gate,
                   sys::open_path(home.path + "/sock/start.lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(gate.get()));
    connected = sys::connect_stream(home.control_socket());
    if (!connected) {
        SUB_TRY(start_agent(env, home));
        connected = sys::connect_stream(home.control_socket());
    }
    if (!connected) return fail(std::move(connected).error().during("connecting to the agent"));
    return Channel(std::move(*connected));
}

}  // namespace

std::string sibling_program(const std::string& name) {
    std::array<char, PATH_MAX> path;
    if (start::find_sibling(name.c_str(), path.data(), path.size())) return path.data();
    const auto self = sys::read_link_at(AT_FDCWD, "/proc/self/exe");
    return (self ? self->substr(0, self->find_last_of('/')) : "/usr/bin") + "/" + name;
}

Result<Client> Client::connect(const Env& env, const Home& home) {
    SUB_TRY_ASSIGN(Channel channel, connect_or_start(env, home));
    return Client(&env, home, std::move(channel));
}

Result<Client> Client::connect_existing(const Home& home) {
    SUB_TRY_ASSIGN(sys::UniqueFd socket, sys::connect_stream(home.control_socket()));
    return Client(nullptr, home, Channel(std::move(socket)));
}

Client Client::adopt(const Env& env, const Home& home, sys::UniqueFd socket) {
    return {&env, home, Channel(std::move(socket))};
}

void Client::remember(Json request, std::span<const int> fds) {
    request["version"] = kProtocolVersion;
    request["agent"] = program_identity(sibling_program("substrate-world-agent"));
    last_request_ = std::move(request);
    last_fds_.assign(fds.begin(), fds.end());
}

Result<> Client::send(Json request, std::span<const int> fds) {
    remember(std::move(request), fds);
    auto sent = channel_.send(last_request_, last_fds_);
    if (sent || env_ == nullptr) return sent;
    // The agent went away between our connecting and its accepting.
    SUB_TRY_ASSIGN(channel_, connect_or_start(*env_, home_));
    return channel_.send(last_request_, last_fds_);
}

Result<> Client::replace_agent() {
    if (env_ == nullptr) return fail({Errc::unavailable, "the agent is of another build"});
    {
        SUB_TRY_ASSIGN(sys::UniqueFd socket, sys::connect_stream(home_.control_socket()));
        Channel old(std::move(socket));
        SUB_TRY(old.send({{"type", message::kStop}, {"version", kProtocolVersion}}));
        // It answers, and closes once its commands have ended.
        while (auto message = old.receive())
            if (!*message) break;
    }
    // It holds its lock until it is gone.
    SUB_TRY_ASSIGN(const sys::UniqueFd gate, sys::open_path(home_.agent_lock(), O_RDWR | O_CLOEXEC));
    {
        SUB_TRY_ASSIGN(const sys::FileLock gone, sys::FileLock::exclusive(gate.get()));
    }
    SUB_TRY_ASSIGN(channel_, connect_or_start(*env_, home_));
    return channel_.send(last_request_, last_fds_);
}

Result<Json> Client::receive() {
    for (bool replaced = false;; replaced = true) {
        SUB_TRY_ASSIGN(auto message, channel_.receive());
        if (!message)
            return fail(
                Error(Errc::unavailable, "the agent closed the connection").hint("see " + home_.agent_log()));
        const std::string type = text_of(*message, "type");
        if (type == message::kOtherVersion && !replaced) {
            SUB_TRY(replace_agent());
            continue;
        }
        if (type == message::kOtherVersion)
            return fail(Error(Errc::unavailable, "a service manager starts an agent of another build here")
                            .hint("use the program of that build, or another SUBSTRATE_HOME"));
        if (type == message::kError) return fail(error_from_json(*message));
        return std::move(*message);
    }
}

}  // namespace substrate::supervisor
