// The per-user daemon. Started by the first `substrate` that needs it.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <charconv>

#include "agent/api.hpp"
#include "model/exit_codes.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/client.hpp"
#include "supervisor/command_line.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/signals.hpp"

namespace {

using namespace substrate;

std::int64_t seconds_ns(const Env& env, const char* name, std::int64_t fallback_seconds) {
    const auto text = env.variable(name);
    std::int64_t seconds = fallback_seconds;
    if (text) std::from_chars(text->data(), text->data() + text->size(), seconds);
    return seconds * 1'000'000'000;
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
    options.idle_exit_ns = seconds_ns(env, "SUBSTRATE_AGENT_IDLE_SECS", 600);
    options.world_idle_ns = seconds_ns(env, "SUBSTRATE_WORLD_IDLE_SECS", 300);
    options.standby = env.variable("SUBSTRATE_STANDBY").value_or("1") != "0";
    auto agent = supervisor::Agent::start(env, *home, options);
    if (!agent) return fail_with(agent.error());
    const auto api = agent::Api::start(**agent);
    if (!api) return fail_with(api.error());
    tell(ready_fd, "ready");
    if (auto ended = (*agent)->run(signals->get()); !ended) return fail_with(ended.error());
    return 0;
}
