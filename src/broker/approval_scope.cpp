#include <algorithm>

#include "base/text.hpp"
#include "broker/approvals.hpp"

namespace substrate::broker {
namespace {

constexpr std::string_view kBlanks = " \t\n";

// Words that a shell does not take for a program's name unless they are quoted: bash(1),
// "RESERVED WORDS".
constexpr std::string_view kReserved =
    " ! { } [[ ]] if then else elif fi case esac for select while until do done in function time coproc ";

// Names that mean something inside a shell only, or another thing there than the
// program of that name does: bash(1), "SHELL BUILTIN COMMANDS", and those of dash(1).
constexpr std::string_view kShellOnly =
    " . : source eval exec trap cd chdir set unset export readonly declare typeset local alias unalias hash "
    "ulimit umask shift return break continue exit logout getopts read wait jobs fg bg times type let "
    "builtin "
    "command bind caller compgen complete compopt dirs disown enable fc help history mapfile readarray popd "
    "pushd shopt suspend ";

bool listed(std::string_view list, std::string_view word) {
    return !word.contains(' ') && list.contains(" " + std::string(word) + " ");
}

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-+=./:,@%").contains(c);
}

// The words of a line that any shell reads alike, without knowing more of its grammar
// than blanks and quotes around text in which nothing is special. nullopt for all others.
std::optional<std::vector<std::string>> plain_words(std::string_view line) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < line.size();) {
        if (line[at] == ' ' || line[at] == '\t') {
            ++at;
            continue;
        }
        std::string& word = words.emplace_back();
        while (at < line.size() && line[at] != ' ' && line[at] != '\t') {
            const char c = line[at];
            if (is_plain(c)) {
                word += c;
                ++at;
                continue;
            }
            if (c != '\'' && c != '"') return std::nullopt;
            const std::size_t close = line.find(c, at + 1);
            if (close == std::string_view::npos) return std::nullopt;
            const std::string_view inside = line.substr(at + 1, close - at - 1);
            if (c == '"' && inside.find_first_of("$`\\!") != std::string_view::npos) return std::nullopt;
            word += inside;
            at = close + 1;
        }
    }
    return words;
}

// The words of the only command that the line runs, where two readers agree on them.
std::optional<std::vector<std::string>> only_command(std::string_view line,
                                                     const policy::ParsedLine& parsed) {
    if (!parsed.ok() || parsed.operators || parsed.commands.size() != 1) return std::nullopt;
    const policy::SimpleCommand& command = parsed.commands.front();
    if (!command.assignments.empty() || !command.redirections.empty() || command.words.empty() ||
        command.unresolved != policy::Unknown::none)
        return std::nullopt;
    auto words = plain_words(line);
    const bool same =
        words && std::ranges::equal(*words, command.words, {}, {}, [](const policy::Word& word) {
            return word.exact() && !word.process ? word.text : std::string("\0", 1);
        });
    if (!same) return std::nullopt;
    // `'A=b' cmd` and `'if' x` run programs of these names; `A=b cmd` does not.
    const std::string& program = words->front();
    if (program.empty() || program.contains('=') || listed(kReserved, program)) return std::nullopt;
    return words;
}

std::string_view trimmed(std::string_view line) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    const std::string_view shorter = line.substr(0, line.find_last_not_of(kBlanks) + 1);
    // A blank may be quoted by a backslash, or belong to a here-document's text.
    return shorter.ends_with('\\') || shorter.contains("<<") ? line : shorter;
}

}  // namespace

std::string scope_pattern(std::string_view line, const policy::ParsedLine& parsed) {
    // What was not understood may have no part without a meaning.
    if (!parsed.ok()) return std::string(line);
    const std::string_view text = trimmed(line);
    if (const auto words = only_command(text, parsed)) return shell_join(*words);
    return std::string(text);
}

std::string scope_pattern(const std::vector<std::string>& argv) {
    std::string joined = shell_join(argv);
    if (argv.empty()) return joined;
    const std::string& program = argv.front();
    if (listed(kShellOnly, program)) return "env -- " + joined;
    const bool bare = joined.starts_with(program);
    if (bare && (program.contains('=') || listed(kReserved, program)))
        return "'" + program + "'" + joined.substr(program.size());
    return joined;
}

}  // namespace substrate::broker
