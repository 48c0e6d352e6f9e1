#include "policy/command_line.hpp"

#include <algorithm>

#include "policy/expand.hpp"
#include "policy/shell_parser.hpp"

namespace substrate::policy {
namespace {

// HOME is another one after this: assigned, exported, read or unset.
bool names_home(std::string_view line) {
    for (std::size_t at = line.find("HOME"); at != std::string_view::npos; at = line.find("HOME", at + 1)) {
        const char before = at > 0 ? line[at - 1] : ' ';
        if (before != '$' && before != '{') return true;
    }
    return false;
}

}  // namespace

std::string_view to_string(Unknown unknown) {
    switch (unknown) {
        case Unknown::none: return "nothing";
        case Unknown::variable: return "the value of a variable";
        case Unknown::command_substitution: return "the output of a command substitution";
        case Unknown::process_substitution: return "what a process substitution gives";
        case Unknown::arithmetic: return "the result of arithmetic";
        case Unknown::braces: return "a brace expansion";
        case Unknown::home: return "a home directory";
        case Unknown::file_names: return "the names that a pattern finds";
        case Unknown::translation: return "a translated text";
        case Unknown::alias_name: return "a name that may be an alias";
        case Unknown::standard_input: return "what a shell reads from its input";
        case Unknown::appended: return "words that are added when it runs";
        case Unknown::wrapper_options: return "an option that may run a command";
        case Unknown::other_shell: return "a text for a shell with other rules";
        case Unknown::environment: return "a setting that changes what programs do";
        case Unknown::look_alike: return "a program name that is not printable ASCII";
        case Unknown::stored_code: return "text that a shell may expand later";
        case Unknown::too_many: return "too many words to look at one by one";
    }
    return "something";
}

ParsedLine parse_command_line(std::string_view line, const ParseOptions& options) {
    ParseState state;
    state.options = options;
    if (line.size() > kMaxLine) {
        state.refuse_size("it is longer than 1 MiB");
        return std::move(state.line);
    }
    state.home_assigned = names_home(line);
    ShellParser(state, line, options.dialect, 0, Origin::line, kNoParent).parse();
    if (!state.refused()) Expander(state).run();
    return std::move(state.line);
}

ParsedLine parse_arguments(const std::vector<std::string>& argv, const ParseOptions& options) {
    ParseState state;
    state.options = options;
    std::size_t size = 0;
    for (const std::string& word : argv) size += word.size() + 1;
    if (size > kMaxLine) {
        state.refuse_size("its arguments are longer than 1 MiB");
        return std::move(state.line);
    }
    SimpleCommand command{.dialect = options.dialect};
    for (const std::string& word : argv) command.words.push_back({.text = word});
    state.line.commands.push_back(std::move(command));
    Expander(state).run();
    return std::move(state.line);
}

bool feeds(const ParsedLine& line, const SimpleCommand& from, const SimpleCommand& to) {
    for (std::uint32_t a = from.stage; a != 0; a = line.stages[a].outer)
        for (std::uint32_t b = to.stage; b != 0; b = line.stages[b].outer)
            if (line.stages[a].pipeline == line.stages[b].pipeline &&
                line.stages[a].position < line.stages[b].position)
                return true;
    return false;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

}  // namespace substrate::policy
