#include "supervisor/command_line.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace_context.hpp"
#include "model/scope_token.hpp"
#include "plan/command.hpp"
#include "start/program_identity.hpp"
#include "sys/file.hpp"

namespace substrate::supervisor {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The file that execvp(3) would take; empty when there is none, or when that depends
// on where the command is by then: an entry that is relative or empty (the current
// directory) is the shell's work.
std::string find_in_path(const std::string& program, const std::string& path) {
    if (program.contains('/')) return program;
    for (std::size_t begin = 0; begin <= path.size();) {
        const std::size_t end = std::min(path.find(':', begin), path.size());
        if (end == begin || path[begin] != '/') return {};
        std::string candidate = path.substr(begin, end - begin) + "/" + program;
        struct ::stat st{};
        if (::stat(candidate.c_str(), &st) == 0 && S_ISREG(st.st_mode) &&
            ::access(candidate.c_str(), X_OK) == 0)
            return candidate;
        begin = end + 1;
    }
    return {};
}

void use_shell(world::ExecOrder& order, const ExecRequest& request) {
    order.program = request.shell;
    const std::string name = request.shell.substr(request.shell.find_last_of('/') + 1);
    order.argv = {name, request.login_shell ? "-lc" : "-c", request.cmd};
}

void use_program(world::ExecOrder& order, const ExecRequest& request, std::vector<std::string> argv,
                 std::string path) {
    world::ExecOrder by_shell;
    if (request.argv.empty()) {
        use_shell(by_shell, request);
    } else {
        // The shell says what is wrong with a program that cannot be executed.
        by_shell.argv = {request.shell.substr(request.shell.find_last_of('/') + 1), "-c",
                         "exec \"$0\" \"$@\""};
        by_shell.argv.insert(by_shell.argv.end(), argv.begin(), argv.end());
    }
    order.fallback_program = request.shell;
    order.fallback_argv = std::move(by_shell.argv);
    // What a shell would export to the program.
    order.environment.push_back("_=" + path);
    order.environment.push_back("SHLVL=0");
    order.program = std::move(path);
    order.argv = std::move(argv);
}

}  // namespace

void set_command(world::ExecOrder& order, const ExecRequest& request, const std::string& world_id,
                 const std::string& span_id) {
    order.cwd = request.cwd;
    order.umask = request.umask;
    if (request.terminal)
        order.terminal = world::TerminalOrder{request.terminal->columns, request.terminal->rows,
                                              request.terminal->streams};
    const auto ours = [&](const std::string& name) {
        return (name == "TRACEPARENT" && !request.traceparent.empty()) ||
               (name == kScopeVariable && !request.scope_token.empty());
    };
    for (const auto& [name, value] : request.env)
        if (!ours(name)) order.environment.push_back(name + "=" + value);
    order.scope_token = !request.scope_token.empty();
    if (order.scope_token)
        order.environment.push_back(std::string(kScopeVariable) + "=" + std::to_string(world::kScopeFd));
    if (!request.traceparent.empty())
        order.environment.push_back("TRACEPARENT=" + traceparent_of_span(request.traceparent, span_id));
    if (!request.env.contains("PATH")) order.environment.push_back(std::string("PATH=") + kDefaultPath);
    order.environment.push_back("PWD=" + request.cwd);
    order.environment.push_back("SUBSTRATE=1");
    order.environment.push_back("SUBSTRATE_WORLD_ID=" + world_id);
    order.environment.push_back("SUBSTRATE_SPAN_ID=" + span_id);

    const auto path = request.env.find("PATH");
    const std::string search = path == request.env.end() ? kDefaultPath : path->second;
    std::vector<std::string> argv = request.argv;
    if (argv.empty() && !request.login_shell)
        if (auto simple = plan::simple_command(request.cmd)) argv = std::move(*simple);
    if (!argv.empty()) {
        std::string program = find_in_path(argv.front(), search);
        if (!program.empty() || !request.argv.empty()) {
            if (program.empty()) program = argv.front();
            use_program(order, request, std::move(argv), std::move(program));
            return;
        }
    }
    use_shell(order, request);
}

std::string program_identity(const std::string& path) {
    struct ::stat st{};
    if (::stat(path.c_str(), &st) != 0) return {};
    std::string identity(start::kIdentitySize, '\0');
    start::write_identity(st, identity.data());
    return identity;
}

}  // namespace substrate::supervisor
