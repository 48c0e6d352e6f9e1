#include "shell/program.hpp"

#include <unistd.h>

#include "sys/host_env.hpp"
#include "sys/process.hpp"

namespace substrate::shell {

int run_program(int argc, char** argv, int (*run)(const Console& console, int argc, char** argv)) {
    sys::ensure_standard_streams();
    const sys::HostEnv env;
    std::vector<std::string> environment;
    for (char** variable = ::environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
    Console console{.env = env, .home = {}, .environment = std::move(environment)};
    auto home = supervisor::locate_home(env);
    if (!home) return console.fail_with(home.error());
    console.home = std::move(*home);
    return run(console, argc, argv);
}

}  // namespace substrate::shell
