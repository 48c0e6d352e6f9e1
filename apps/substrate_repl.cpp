// The interactive shell. A program of its own, so that the one that runs for every command
// stays small.
#include "shell/nested_run.hpp"
#include "shell/program.hpp"
#include "shell/repl.hpp"
#include "shell/run.hpp"
#include "supervisor/protocol.hpp"

namespace {

using namespace substrate;
using namespace substrate::shell;

// One argument: the JSON of an ExecRequest, from `substrate`.
int run(const Console& console, int argc, char** argv) {
    if (inside_world()) return console.fail_with(only_outside("the interactive shell"));
    if (argc != 2)
        return console.fail_with(
            Error(Errc::invalid, "substrate-repl is started by substrate").hint("run `substrate`"));
    auto json = parse_json(argv[1]);
    if (!json) return console.fail_with(json.error());
    auto request = supervisor::exec_request_from_json(*json);
    if (!request) return console.fail_with(request.error());
    if (auto filled = fill_from_process(console, *request); !filled) return console.fail_with(filled.error());
    return run_repl(console, std::move(*request));
}

}  // namespace

int main(int argc, char** argv) { return run_program(argc, argv, run); }
