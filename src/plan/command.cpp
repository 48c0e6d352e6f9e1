#include "plan/command.hpp"

#include <algorithm>
#include <array>

#include "plan/passed_variables.hpp"

namespace substrate::plan {
namespace {

// bash(1), "SHELL BUILTIN COMMANDS" and "RESERVED WORDS", sorted. `true` and
// `false` are handled apart: without arguments they are the programs.
// clang-format off
constexpr std::array<std::string_view, 76> kShellWords = {
    "!",        ".",       ":",        "[",       "[[",      "]]",     "alias",    "bg",      "bind",    "break",
    "builtin",  "caller",  "case",     "cd",      "command", "compgen", "complete", "compopt", "continue", "coproc",
    "declare",  "dirs",    "disown",   "do",      "done",    "echo",   "elif",     "else",    "enable",  "esac",
    "eval",     "exec",    "exit",     "export",  "fc",      "fg",     "fi",       "for",     "function", "getopts",
    "hash",     "help",    "history",  "if",      "in",      "jobs",   "kill",     "let",     "local",   "logout",
    "mapfile",  "popd",    "printf",   "pushd",   "pwd",     "read",   "readarray", "readonly", "return", "select",
    "set",      "shift",   "shopt",    "source",  "suspend", "test",   "then",     "time",    "times",   "trap",
    "type",     "typeset", "ulimit",   "umask",   "unalias", "unset"};
// clang-format on
static_assert(std::ranges::is_sorted(kShellWords));
constexpr std::array<std::string_view, 5> kMoreShellWords = {"until", "wait", "while", "{", "}"};

constexpr bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-+./:,@%=").contains(c);
}

}  // namespace

std::optional<std::vector<std::string>> simple_command(std::string_view line) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < line.size()) {
        if (line[at] == ' ') {
            ++at;
            continue;
        }
        std::size_t end = at;
        while (end < line.size() && line[end] != ' ') {
            if (!is_plain(line[end])) return std::nullopt;
            ++end;
        }
        words.emplace_back(line.substr(at, end - at));
        at = end;
    }
    if (words.empty()) return std::nullopt;
    const std::string& program = words.front();
    if (program.contains('=') || program.starts_with('%')) return std::nullopt;  // an assignment, a job
    if ((program == "true" || program == "false") && words.size() > 1) return std::nullopt;
    if (std::ranges::binary_search(kShellWords, std::string_view(program)) ||
        std::ranges::find(kMoreShellWords, program) != kMoreShellWords.end())
        return std::nullopt;
    return words;
}

SelectedEnvironment select_environment(const std::vector<std::string>& environment) {
    SelectedEnvironment selected;
    for (const std::string& variable : environment) {
        const std::size_t equals = variable.find('=');
        const std::string_view name = std::string_view(variable).substr(0, equals);
        if (equals != std::string::npos && is_passed_variable(name))
            selected.passed.insert_or_assign(std::string(name), variable.substr(equals + 1));
        else selected.withheld.push_back(variable);
    }
    std::ranges::sort(selected.withheld);
    return selected;
}

bool runs_code(std::string_view name) {
    return name == "BASH_ENV" || name == "ENV" || name == "SHELLOPTS" || name == "BASHOPTS" ||
           name == "PROMPT_COMMAND" || name == "PS4" || name.starts_with("BASH_FUNC_");
}

bool is_variable_name(std::string_view name) {
    return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, [](char c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    });
}

}  // namespace substrate::plan
