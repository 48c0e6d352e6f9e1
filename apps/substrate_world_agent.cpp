// The per-user daemon. Started by the first `substrate` that needs it.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "agent/api.hpp"
#include "model/exit_codes.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/client.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/settings.hpp"
#include "sys/activation.hpp"
#include "sys/file.hpp"
#include "sys/file_limit.hpp"
#include "sys/host_env.hpp"
#include "sys/signals.hpp"

namespace {

using namespace substrate;

// What a service manager listens on for us, by its place in the home.
struct Listeners {
    sys::UniqueFd control;
    sys::UniqueFd api;
};

Result<Listeners> take_listeners(const Env& env, const supervisor::Home& home) {
    Listeners listeners;
    SUB_TRY_ASSIGN(auto passed, sys::take_passed_sockets(env));
    for (sys::PassedSocket& socket : passed) {
        if (socket.path == home.control_socket()) listeners.control = std::move(socket.fd);
        else if (socket.path == home.agent_socket()) listeners.api = std::move(socket.fd);
        else
            return fail(
                Error(Errc::invalid,
                      "the socket '" + socket.path + "' that was passed is none of the agent's")
                    .hint("let the unit listen on " + home.control_socket() + " and " + home.agent_socket()));
    }
    return listeners;
}

// One word to whoever started us, then nothing more.
void tell(int& fd, const std::string& text) {
    if (fd < 0) return;
    (void)sys::write_all(fd, text);
    ::close(fd);
    fd = -1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"Runs worlds for `substrate`. Started on demand; needs no arguments.",
                 "substrate-world-agent"};
    int ready_fd = -1;
    app.add_option("--ready-fd", ready_fd, "Descriptor to write \"ready\" or an error to");
    std::vector<std::pair<std::string, std::string>> flags;
    for (const supervisor::SettingKind& kind : supervisor::setting_kinds())
        app.add_option_function<std::string>(
               "--" + std::string(kind.key),
               [&flags, &kind](const std::string& value) { flags.emplace_back(kind.key, value); },
               std::string(kind.help) + "; " + std::string(kind.variable))
            ->type_name(kind.time != nullptr   ? "TIME"
                        : kind.flag != nullptr ? "BOOL"
                                               : "HOST:PORT");
    app.footer(
        "Flags go before variables, variables before $SUBSTRATE_HOME/agent.yaml, which has the same names.");
    app.set_version_flag("--version", SUBSTRATE_VERSION);
    CLI11_PARSE(app, argc, argv);
    if (ready_fd >= 0) ::fcntl(ready_fd, F_SETFD, FD_CLOEXEC);

    const sys::HostEnv env;
    const auto fail_with = [&](const Error& error) {
        const std::string text = error.describe();
        (void)sys::write_all(2, "substrate-world-agent: " + text + "\n");
        tell(ready_fd, text);
        return to_int(exit_code_for(error.code()));
    };
    // Before any thread exists, so that all inherit the mask.
    const auto signals = sys::open_signal_fd({SIGTERM, SIGINT, SIGHUP});
    if (!signals) return fail_with(signals.error());
    const auto home = supervisor::locate_home(env);
    if (!home) return fail_with(home.error());
    supervisor::AgentOptions options;
    options.init_program = supervisor::sibling_program("substrate-world-init");
    options.gateway_program = supervisor::sibling_program("substrate-gateway");
    options.identity = supervisor::program_identity(supervisor::sibling_program("substrate-world-agent"));
    // Each world that waits for a command keeps some files open.
    const auto file_limit = sys::raise_file_limit();
    if (!file_limit) return fail_with(file_limit.error());
    options.file_limit = *file_limit;
    auto settings = supervisor::load_settings(env, flags, home->agent_settings());
    if (!settings) return fail_with(settings.error());
    options.settings = std::move(*settings);
    auto listeners = take_listeners(env, *home);
    if (!listeners) return fail_with(listeners.error());
    auto agent = supervisor::Agent::start(env, *home, options, std::move(listeners->control));
    if (!agent) return fail_with(agent.error());
    const auto api = agent::Api::start(**agent, std::move(listeners->api));
    if (!api) return fail_with(api.error());
    tell(ready_fd, "ready");
    if (auto told = sys::notify_manager(env, "READY=1"); !told) return fail_with(told.error());
    auto ended = (*agent)->run(signals->get());
    if (!ended) return fail_with(ended.error());
    return 0;
}
