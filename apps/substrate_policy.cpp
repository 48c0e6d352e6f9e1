// `substrate policy`: looks at policies and at what people have said about them. A program of
// its own, so that the one that runs for every command stays small.
#include <CLI/CLI.hpp>

#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/policy_commands.hpp"
#include "shell/program.hpp"

namespace {

using namespace substrate;
using namespace substrate::shell;

constexpr const char* kAbout =
    "What commands may do, and why.\n\n"
    "Policies are YAML files: $SUBSTRATE_HOME/policies/ID.yaml, /etc/substrate/policies/ID.yaml,\n"
    "those that are shipped, and /etc/substrate/managed.yaml, which nothing loosens. A directory\n"
    "chooses one by name in .substrate-profile, or has one in .substrate-policy.yaml; both only\n"
    "tighten until `substrate policy trust`. Every command takes --json.";

// The options of all commands; only those of the one that was named are filled.
struct Options {
    PolicyShowOptions show;
    PolicyValidateOptions validate;
    PolicyReloadOptions reload;
    PolicyExplainOptions explain;
    PolicyTestOptions test;
    PolicyBacktestOptions backtest;
    PolicySuggestOptions suggest;
    PolicyTrustOptions trust;
    PolicyApprovalsOptions approvals;
    WhyHostOptions why;
    WhySocketOptions why_socket;
};

class Parser {
  public:
    Parser(const Console& console, Options& options) : console_(console), options_(options) {
        app_.require_subcommand(1);
        app_.name("substrate policy");
        look();
        judge();
        learn();
        decide();
        ask_why();
    }
    int run(int argc, char** argv) {
        try {
            app_.parse(argc, argv);
        } catch (const CLI::ParseError& error) {
            if (error.get_exit_code() == 0) return app_.exit(error);
            console_.note(std::string(error.what()) + " (substrate policy --help)");
            return to_int(ExitCode::usage);
        }
        return exit_;
    }

  private:
    template <class T>
    CLI::App& add(const char* name, const char* help, T& options, int (*call)(const Console&, const T&)) {
        CLI::App* command = app_.add_subcommand(name, help);
        if constexpr (requires { options.json; }) command->add_flag("--json", options.json, "For programs");
        command->callback([this, &options, call] { exit_ = call(console_, options); });
        return *command;
    }

    void look() {
        auto& show = add("show",
                         "What governs this directory: the policy, who chose it, its layers and values.\n"
                         "Exit 2 when what is there now is broken.",
                         options_.show, policy_show);
        show.add_option("id", options_.show.id, "One policy by itself: an id or a FILE.yaml");
        show.add_flag("--explain", options_.show.explain, "Where each value came from, defaults too");
        auto& validate = add("validate",
                             "Check policies, each problem as FILE:LINE:COLUMN: POINTER: MESSAGE.\n"
                             "Without FILE all that can be named, and the managed one. Exit 2 for problems.",
                             options_.validate, policy_validate);
        validate.add_option("file", options_.validate.files)->type_name("FILE");
        add("reload", "Tell the running agent to look at the files now. Exit 2 when one is broken.",
            options_.reload, policy_reload);
    }
    void judge() {
        auto& explain =
            add("explain",
                "How a command would be read and judged; nothing runs. Exit 0 when it would run,\n"
                "126 when not. `explain -- PROGRAM ARGUMENTS` is for exact words without a shell.",
                options_.explain, policy_explain);
        explain.add_option("line", options_.explain.line, "As for substrate -c")->type_name("'LINE'");
        explain.add_option("--cwd", options_.explain.cwd, "As if run in this directory")->type_name("DIR");
        auto& test =
            add("test",
                "Judge a table of commands with the verdicts they must get: YAML with an optional\n"
                "`policy` (id or file) and `cases`, each with `command` or `argv`, `expect` (allow, deny,\n"
                "ask, isolate, direct), and optionally `cwd`, `rule`, `pattern`. Exit 1 when one fails.",
                options_.test, policy_test);
        test.add_option("file", options_.test.file)->type_name("FILE")->required();
        test.add_option("--policy", options_.test.policy, "Instead of the table's: an id or a FILE.yaml");
        auto& backtest =
            add("backtest",
                "Judge recorded commands again and list the decisions that differ. Exit 1 when one\n"
                "does. By --policy alone, or by what is in force in their directories.",
                options_.backtest, policy_backtest);
        backtest.add_option("--since", options_.backtest.since, "15m, 2h, 3d or a time; default: all");
        backtest.add_option("--session", options_.backtest.session, "Only this session's");
        backtest.add_option("--policy", options_.backtest.policy, "An id or a FILE.yaml");
    }
    void learn() {
        auto& suggest =
            add("suggest", "Write the least policy that a session's commands needed, as YAML with comments.",
                options_.suggest, policy_suggest);
        suggest.add_option("--from", options_.suggest.session, "The session")->required();
        suggest.add_option("--id", options_.suggest.id, "The policy's id; default: suggested");
    }
    void decide() {
        auto& trust =
            add("trust",
                "Let a directory's .substrate-profile and .substrate-policy.yaml take the place of your\n"
                "default: shows them and what they loosen, asks, and keeps exactly this content.",
                options_.trust, policy_trust);
        trust.add_option("directory", options_.trust.directory, "Default: this one")->type_name("DIR");
        auto* revoke = trust.add_flag("--revoke", options_.trust.revoke, "Trust it no longer");
        auto* list = trust.add_flag("--list", options_.trust.list, "What is trusted");
        trust.add_flag("--yes", options_.trust.yes, "Ask nothing: for where there is no terminal");
        revoke->excludes(list);
        auto& approvals = add("approvals",
                              "List what waits for a decision and decide it; list what was approved for\n"
                              "always, or revoke it.",
                              options_.approvals, policy_approvals);
        auto* one =
            approvals.add_option("--revoke", options_.approvals.revoke, "One, by its id")->type_name("ID");
        approvals.add_flag("--revoke-all", options_.approvals.revoke_all, "All of them")->excludes(one);
        PolicyApprovalsOptions& decided = options_.approvals;
        // The parent's callback runs after theirs, with what they have filled in.
        auto* approve = approvals.add_subcommand("approve", "Let a command run that waits");
        approve->add_option("id", decided.decide)->type_name("ID")->required();
        approve->add_option("scope", decided.decision, "once (the default), session or always")
            ->check(CLI::IsMember({"once", "session", "always"}));
        approve->callback([&decided] {
            if (decided.decision.empty()) decided.decision = "once";
        });
        auto* deny = approvals.add_subcommand("deny", "Refuse it");
        deny->add_option("id", decided.decide)->type_name("ID")->required();
        deny->callback([&decided] { decided.decision = "deny"; });
        approvals.require_subcommand(0, 1);
    }

    // Reached as `substrate why`.
    void ask_why() {
        CLI::App* why = app_.add_subcommand("why", "Which rule allows or refuses something")->group("");
        why->require_subcommand(1);
        CLI::App* host = why->add_subcommand(
            "host",
            "Whether worlds of this directory may connect to a host. Exit 0 when they may, 126 when not.");
        host->add_option("host", options_.why.host)->type_name("HOST:PORT")->required();
        host->add_option("--cwd", options_.why.cwd, "As if asked in this directory")->type_name("DIR");
        host->add_flag("--json", options_.why.json, "For programs");
        host->callback([this] { exit_ = why_host(console_, options_.why); });
        CLI::App* socket = why->add_subcommand("socket",
                                               "Whether worlds of this directory may connect to a Unix "
                                               "socket of the host. Exit 0 when they may, 126 when "
                                               "not.");
        socket->add_option("path", options_.why_socket.path)->type_name("PATH")->required();
        socket->add_option("--cwd", options_.why_socket.cwd, "As if asked in this directory")
            ->type_name("DIR");
        socket->add_flag("--json", options_.why_socket.json, "For programs");
        socket->callback([this] { exit_ = why_socket(console_, options_.why_socket); });
    }

    const Console& console_;
    Options& options_;
    CLI::App app_{kAbout};
    int exit_ = 0;
};

int run(const Console& console, int argc, char** argv) {
    if (argc == 3 && std::string_view(argv[1]) == "internal-explain")
        return explain_request(console, argv[2]);
    if (argc == 4 && std::string_view(argv[1]) == "internal-verify")
        return world_verify(console, {.root = argv[3], .json = std::string_view(argv[2]) == "json"});
    Options options;
    // What follows "--" is the words of a command to explain, not ours to interpret.
    int own = argc;
    if (argc > 1 && std::string_view(argv[1]) == "explain")
        for (int i = argc - 1; i > 1; --i)
            if (std::string_view(argv[i]) == "--") own = i;
    for (int i = own + 1; i < argc; ++i) options.explain.argv.emplace_back(argv[i]);
    Parser parser(console, options);
    return parser.run(own, argv);
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
