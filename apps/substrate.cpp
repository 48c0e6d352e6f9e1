// The command line. Parses, and leaves the work to src/shell.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <span>
#include <vector>

#include "base/text.hpp"
#include "codec/json_value.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/nested_run.hpp"
#include "shell/program.hpp"
#include "shell/run.hpp"
#include "shell/script.hpp"
#include "start/head_start.hpp"
#include "supervisor/client.hpp"
#include "supervisor/protocol.hpp"

namespace {

using namespace substrate;
using namespace substrate::shell;

// Options of the program itself, the form that runs a command.
struct MainOptions {
    std::string line;
    std::vector<std::string> argv;
    std::string commit = "auto";
    std::string capture;
    std::string shell = "/bin/bash";
    std::string replay_id;
    std::vector<std::string> env;
    double timeout_seconds = 0;
    bool replay_verbose = false;
    bool ephemeral = false;
    bool direct = false;
    bool explain = false;
    bool no_world = false;
    bool world = false;
    bool share_network = false;
    bool pty = false;
    bool interactive = false;
};

// CLI11 would read a value in brackets as a list.
CLI::Option* as_they_are(CLI::Option* option) { return option->allow_extra_args(false); }

// The index of the "--" or "-f" that ends our own arguments, or argc.
int end_of_options(const CLI::App& app, int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        if (std::string_view(argv[i]) == "--" || std::string_view(argv[i]) == "-f") return i;
        const CLI::Option* option = app.get_option_no_throw(argv[i]);
        if (option != nullptr && option->get_items_expected_min() > 0) ++i;  // its value
    }
    return argc;
}

void add_main_options(CLI::App& app, MainOptions& options) {
    app.add_option("-c", options.line, "Run LINE as `bash -c LINE` would, in a world")
        ->type_name("LINE")
        ->expected(1);
    app.add_flag("--ephemeral", options.ephemeral, "In a fresh world that ends with the command");
    app.add_option("--commit", options.commit, "When changes reach the host: auto, ask or manual")
        ->check(CLI::IsMember({"auto", "ask", "manual"}));
    app.add_option("--capture", options.capture, "Insist on one way of capturing changes")
        ->check(CLI::IsMember({"overlay", "fuse", "copy-diff", "direct"}));
    app.add_flag("--direct", options.direct, "The project itself is writable: for programs that watch files");
    as_they_are(app.add_option("--env", options.env, "Pass a variable into the world: NAME or NAME=VALUE"))
        ->type_name("NAME[=VALUE]");
    app.add_option("--shell", options.shell, "The shell that runs the line");
    app.add_option("--timeout", options.timeout_seconds, "End the command after this many seconds");
    app.add_flag("--share-network", options.share_network, "Use the host's network; the span says so");
    app.add_flag("--pty", options.pty, "On a terminal of the world's own: job control, and /dev/tty");
    app.add_flag("--explain", options.explain, "Show what would be done, and run nothing");
    app.add_flag("--no-world", options.no_world, "Run on the host, unconfined; recorded as such");
    app.add_flag("--world", options.world, "Run in a world, whatever SUBSTRATE_WORLD says");
    app.add_option("--replay", options.replay_id, "The same as `replay ID`")->type_name("ID");
    app.add_flag("--replay-verbose", options.replay_verbose, "With --replay: each step is a line");
    app.set_version_flag("--version", SUBSTRATE_VERSION);
}

bool use_host(const Console& console, const char* variable, bool no_world, bool world) {
    if (no_world || world) return no_world;
    const auto value = console.env.variable(variable);
    return value && (*value == "disabled" || *value == "0");
}

Result<> pass_variables(const Console& console, const std::vector<std::string>& wanted,
                        ExecRequest& request) {
    for (const std::string& item : wanted) {
        const auto equals = item.find('=');
        const std::string name = item.substr(0, equals);
        if (name.empty()) return fail({Errc::invalid, "--env '" + item + "' names no variable"});
        if (equals != std::string::npos) request.env[name] = item.substr(equals + 1);
        else if (auto value = console.env.variable(name)) request.env[name] = *value;
        else
            return fail(Error(Errc::invalid, "--env " + name + ": no such variable here")
                            .hint("set it, or write " + name + "=VALUE"));
    }
    return {};
}

// What knows policies is a program of its own, so that this one stays small.
int run_policy_program(const Console& console, char* const* argv) {
    const std::string program = supervisor::sibling_program("substrate-policy");
    ::execv(program.c_str(), argv);
    return console.fail_with(
        Error::last_os("execve", program).as(Errc::unsupported).hint("install it beside substrate"));
}

int explain(const Console& console, const ExecRequest& request) {
    std::string name = "policy", word = "internal-explain", json = dump_json(supervisor::to_json(request));
    const std::array<char*, 4> argv = {name.data(), word.data(), json.data(), nullptr};
    return run_policy_program(console, argv.data());
}

int verify(const Console& console, std::string root, bool json) {
    std::string name = "policy", word = "internal-verify", form = json ? "json" : "text";
    const std::array<char*, 5> argv = {name.data(), word.data(), form.data(), root.data(), nullptr};
    return run_policy_program(console, argv.data());
}

// At a terminal, without a command. What is this process's own is read there.
int run_repl_program(const Console& console, ExecRequest request) {
    if (inside_world()) return console.fail_with(only_outside("the interactive shell"));
    request.cmd = ":";
    request.cwd = "/";
    const std::string program = supervisor::sibling_program("substrate-repl");
    std::string name = "substrate", json = dump_json(supervisor::to_json(request));
    const std::array<char*, 3> argv = {name.data(), json.data(), nullptr};
    ::execv(program.c_str(), argv.data());
    return console.fail_with(
        Error::last_os("execve", program).as(Errc::unsupported).hint("install it beside substrate"));
}

int run_main(const Console& console, const MainOptions& options) {
    RunOptions run;
    ExecRequest& request = run.request;
    request.cmd = options.line;
    request.argv = options.argv;
    request.shell = options.shell;
    request.ephemeral = options.ephemeral;
    request.commit = *parse_commit_mode(options.commit);
    request.host_network = options.share_network;
    run.terminal = options.pty;
    request.timeout_ms = static_cast<std::int64_t>(options.timeout_seconds * 1000);
    if (!options.capture.empty()) request.capture = parse_capture_strategy(options.capture);
    if (options.direct) request.capture = CaptureStrategy::direct;
    if (options.interactive) {
        if (auto passed = pass_variables(console, options.env, request); !passed)
            return console.fail_with(passed.error());
        return run_repl_program(console, std::move(request));
    }
    if (auto filled = fill_from_process(console, request); !filled) return console.fail_with(filled.error());
    if (auto passed = pass_variables(console, options.env, request); !passed)
        return console.fail_with(passed.error());
    if (options.explain)
        return inside_world() ? console.fail_with(only_outside("--explain")) : explain(console, request);
    return run_command(console, std::move(run),
                       use_host(console, "SUBSTRATE_WORLD", options.no_world, options.world));
}

// Commands that stand in a file or come by standard input: as `bash FILE ARGUMENTS` and
// `bash` would run them, but read whole first.
Result<> take_script(MainOptions& options, std::span<char* const> file_and_arguments) {
    std::string text;
    if (!file_and_arguments.empty()) {
        SUB_TRY_ASSIGN(text, read_script_file(file_and_arguments[0]));
    } else {
        SUB_TRY_ASSIGN(text, read_script(STDIN_FILENO, "standard input"));
        if (text.find_first_not_of(" \t\r\n") == std::string::npos) return {};
    }
    options.argv = {options.shell, "-c", std::move(text)};
    for (char* argument : file_and_arguments) options.argv.emplace_back(argument);
    return {};
}

// --help and --version print and succeed; anything else is one line and exit 2.
int usage_exit(const Console& console, const CLI::App& app, const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    console.note(std::string(error.what()) + " (substrate --help)");
    return to_int(ExitCode::usage);
}

struct WorldArguments : WorldOptions {
    std::string verify_root;
    PublishOptions publish;
};

// Everything named must outlive the parsing.
void add_world_commands(const Console& console, CLI::App& app, WorldArguments& world, int& exit) {
    auto* world_app = app.add_subcommand("world", "Worlds and this machine");
    world_app->require_subcommand(1);
    const auto add_world = [&](const char* name, const char* help, std::function<int()> run) {
        auto* sub = world_app->add_subcommand(name, help);
        sub->add_flag("--json", world.json);
        sub->callback([&exit, run = std::move(run)] { exit = run(); });
        return sub;
    };
    add_world("status", "The agent, its worlds, and what is kept",
              [&] { return world_status(console, world); });
    add_world("doctor", "What this machine can do, and how to mend the rest",
              [&] { return world_doctor(console, world); });
    add_world("warm", "Start the agent and a world for this project",
              [&] { return world_warm(console, world); });
    add_world("restart", "Stop the agent and its worlds, and warm anew",
              [&] { return world_restart(console, world); });
    add_world("stop", "Stop the agent and its worlds", [&] { return world_stop(console); });
    add_world("verify", "Try in worlds what commands must not be able to do",
              [&] { return verify(console, world.verify_root, world.json); })
        ->add_option("--root", world.verify_root, "Where the scratch project is made; default: /var/tmp")
        ->type_name("DIR");
    for (const bool end : {false, true}) {
        const auto run = [&, end] {
            world.publish.end = end;
            world.publish.json = world.json;
            return world_publish(console, world.publish);
        };
        auto* publish = end ? add_world("unpublish", "Close a published port", run)
                            : add_world("publish", "Let this machine's loopback lead to a world's port", run);
        publish->add_option("port", world.publish.port, "1 to 65535")
            ->required()
            ->check(CLI::Range(1, 65535));
        publish->add_option("--world", world.publish.world, "A world's id; default: this project's")
            ->type_name("ID");
    }
    add_world("gc", "Remove what dead worlds have left", [&] {
        return world_gc(console, world);
    })->add_flag("--dry-run", world.dry_run, "Only say what would be removed");
}

// The first word that names a command decides which parser is built: parsing is
// part of every command's latency.
int run_subcommand(const Console& console, int argc, char** argv) {
    const std::ios_base::Init streams;
    CLI::App app{"Secure execution of commands", "substrate"};
    app.require_subcommand(1);
    int exit = 0;

    TraceOptions trace;
    auto* trace_app = app.add_subcommand("trace", "Show what was recorded");
    trace_app->add_option("span", trace.span_id, "A span's id; without it, a list");
    trace_app->add_flag("--last", trace.last, "The newest span");
    trace_app->add_flag("--follow", trace.follow, "Spans as they are recorded");
    trace_app->add_flag("--json", trace.json);
    trace_app->add_option("--session", trace.session);
    trace_app->add_option("--agent", trace.agent);
    trace_app->add_option("--outcome", trace.outcome, "ok, failed, denied, timeout, killed, …");
    trace_app->add_option("--since", trace.since, "15m, 2h, 3d or a time");
    trace_app->add_option("-n", trace.count, "How many, at most");
    trace_app->callback([&] { exit = trace_command(console, trace); });

    ReplayOptions replay;
    auto* replay_app =
        app.add_subcommand("replay", "Run a recorded command again, in a fresh world, and compare");
    replay_app->add_option("span", replay.span_id)->required();
    replay_app->add_flag("--verbose,-v", replay.verbose, "Each step is a line");
    replay_app->add_flag("--verify", replay.verify, "Exit 1 on any difference");
    replay_app->add_flag("--json", replay.json);
    replay_app->add_flag("--no-world", replay.no_world, "On the host, unconfined");
    replay_app->callback([&] {
        replay.no_world = use_host(console, "SUBSTRATE_REPLAY_USE_WORLD", replay.no_world, false);
        exit = replay_command(console, replay);
    });

    ChangeOptions change;
    const auto add_change = [&](const char* name, const char* help,
                                int (*run)(const Console&, const ChangeOptions&)) {
        auto* sub = app.add_subcommand(name, help);
        sub->add_option("target", change.target, "A span or world; without it, what is pending here");
        sub->callback([&, run] { exit = run(console, change); });
        return sub;
    };
    auto* diff = add_change("diff", "Show what a command changed", diff_command);
    diff->add_flag("--stat", change.stat, "Counts only");
    diff->add_flag("--json", change.json);
    diff->add_flag("--patch", change.patch, "Contents too, where the change is kept");
    auto* apply = add_change("apply", "Bring kept changes to the host", apply_command);
    apply->add_option("paths", change.paths, "Only these paths and what is below them");
    apply->add_flag("--force", change.force, "Even where the host has changed since");
    add_change("discard", "Drop kept changes", discard_command);

    WorldArguments world;
    add_world_commands(console, app, world, exit);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return usage_exit(console, app, error);
    }
    return exit;
}

int run_replay(const Console& console, const MainOptions& options) {
    if (inside_world()) return console.fail_with(only_outside("--replay"));
    ReplayOptions replay{.span_id = options.replay_id,
                         .verbose = options.replay_verbose,
                         .verify = false,
                         .json = false,
                         .no_world = options.no_world};
    replay.no_world = use_host(console, "SUBSTRATE_REPLAY_USE_WORLD", options.no_world, options.world);
    return replay_command(console, replay);
}

int complain_of_usage(const Console& console, const std::string& what) {
    console.note(what + " (substrate --help)");
    return to_int(ExitCode::usage);
}

// Every other form of running something.
int run_options(const Console& console, MainOptions& options, int argc, char** argv) {
    const std::ios_base::Init streams;
    CLI::App app{
        "Runs commands in worlds: sandboxes whose changes are captured, recorded and replayable.\n\n"
        "Or: substrate [OPTIONS] -- PROGRAM ARGUMENTS, without a shell; -f FILE ARGUMENTS, a script of\n"
        "the shell; neither, and commands come by standard input: at a terminal, line by\n"
        "line in a shell of its own (:help there).\n"
        "Commands: trace, replay, diff, apply, discard, world, policy, why (each has --help)",
        "substrate"};
    add_main_options(app, options);
    // What follows "--" or "-f" is the command's, not ours to interpret.
    const int own = end_of_options(app, argc, argv);
    const std::vector<char*> rest(argv + std::min(own + 1, argc), argv + argc);
    const bool script = own < argc && std::string_view(argv[own]) == "-f";
    if (!script) options.argv.assign(rest.begin(), rest.end());
    try {
        app.parse(own, argv);
    } catch (const CLI::ParseError& error) {
        return usage_exit(console, app, error);
    }
    if (!options.replay_id.empty()) return run_replay(console, options);
    const bool has_line = app.count("-c") > 0;
    if (has_line && options.line.empty()) options.line = ":";  // what the shell does for an empty line
    if (script && rest.empty()) return complain_of_usage(console, "-f names no script");
    if (has_line && (script || !options.argv.empty()))
        return complain_of_usage(console, "only one of -c LINE, -f FILE and -- PROGRAM");
    if (script || (!has_line && options.argv.empty() && ::isatty(STDIN_FILENO) == 0))
        if (auto taken = take_script(options, rest); !taken) return console.fail_with(taken.error());
    if (!has_line && options.argv.empty() && ::isatty(STDIN_FILENO) == 1 && !options.explain) {
        if (use_host(console, "SUBSTRATE_WORLD", options.no_world, options.world))
            return complain_of_usage(console, "the interactive shell runs in a world only");
        options.interactive = true;
        return run_main(console, options);
    }
    if (!has_line && options.argv.empty())
        return complain_of_usage(console,
                                 "nothing to run (substrate -c 'LINE', -f FILE or -- PROGRAM ARGUMENTS)");
    return run_main(console, options);
}

int run(const Console& console, int argc, char** argv) {
    if (start::head_start().taken) return run_started(console, start::head_start());
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "internal-relay") return relay_command();
    for (const std::string_view name :
         {"policy", "why", "trace", "replay", "diff", "apply", "discard", "world"}) {
        if (first != name) continue;
        if (inside_world()) return console.fail_with(only_outside("`substrate " + std::string(name) + "`"));
        if (name == "policy") return run_policy_program(console, argv + 1);
        return name == "why" ? run_policy_program(console, argv) : run_subcommand(console, argc, argv);
    }

    MainOptions options;
    // The forms that shells and agents use need no parser.
    const int at = first == "--ephemeral" ? 2 : 1;
    if (argc == at + 2 && std::string_view(argv[at]) == "-c" && argv[at + 1][0] != '\0') {
        options.ephemeral = at == 2;
        options.line = argv[at + 1];
        return run_main(console, options);
    }
    return run_options(console, options, argc, argv);
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
