#include <algorithm>

#include "policy/expand.hpp"

// Shells and the built-ins that read text as shell.
namespace substrate::policy {
namespace {

constexpr std::string_view kShellLongFlags =
    "login posix norc noprofile noediting restricted verbose version help debugger dump-strings "
    "dump-po-strings "
    "dumpstrings pretty-print";

constexpr std::size_t kMaxAliases = 64;

bool is_input_path(std::string_view path) {
    return path == "/dev/stdin" || path.starts_with("/dev/fd/") || path.starts_with("/proc/");
}

// Words as the shell joins them for `eval`, or the first that is not known.
Word join(const std::vector<Word>& words, std::size_t from) {
    Word joined;
    for (std::size_t i = from; i < words.size(); ++i) {
        if (!words[i].exact() || words[i].process) {
            Word unknown = words[i];
            if (unknown.known())
                unknown.unknown = unknown.process ? Unknown::process_substitution : Unknown::file_names;
            return unknown;
        }
        if (i > from) joined.text += ' ';
        joined.text += words[i].text;
    }
    return joined;
}

}  // namespace

void Expander::shell(std::uint32_t index) {
    const Words& words = at(index).words;
    const ShellFamily family = shell_family(base_name(words[0].text));
    const Dialect dialect = family == ShellFamily::bash ? Dialect::bash : Dialect::posix;
    // Their texts are read for what may be denied in them; the rest is beyond us.
    if (family == ShellFamily::other) unresolved(index, Unknown::other_shell);
    bool has_text = false, reads_input = false, only_tells = false;
    std::size_t next = 1;
    for (; next < words.size(); ++next) {
        if (!words[next].exact() || words[next].process) {
            // After -c it may be the text, which is then not known.
            if (words[next].process || has_text) break;
            return unresolved(index, words[next].known() ? Unknown::file_names : words[next].unknown);
        }
        const std::string& text = words[next].text;
        if (text == "--" || text == "-") {
            ++next;
            break;
        }
        if (text.starts_with("--")) {
            const std::string_view name = std::string_view(text).substr(2);
            only_tells = only_tells || name == "version" || name == "help";
            if (listed(kShellLongFlags, name)) continue;
            return odd_options(index, next + 1);
        }
        if (text.size() < 2 || (text[0] != '-' && text[0] != '+')) break;
        std::size_t values = 0;
        for (const char letter : std::string_view(text).substr(1)) {
            has_text = has_text || (letter == 'c' && text[0] == '-');
            reads_input = reads_input || letter == 's';
            if (letter == 'o' || letter == 'O') ++values;
        }
        next += std::min(values, words.size() - 1 - next);
    }
    if (has_text) {
        if (next >= words.size()) return unresolved(index, Unknown::wrapper_options);
        at(index).transparent = family != ShellFamily::other;
        if (family != ShellFamily::other) return run_text(index, words[next], dialect);
        return words[next].exact() ? run_tolerant(index, words[next].text)
                                   : unresolved(index, Unknown::other_shell);
    }
    if (only_tells) return;
    if (next < words.size() && !reads_input) {
        const Word& script = words[next];
        if (script.process) return unresolved(index, Unknown::process_substitution);
        if (script.exact() && is_input_path(script.text)) return shell_input(index, dialect);
        return;
    }
    shell_input(index, dialect);
}

// A shell that reads its commands from standard input.
void Expander::shell_input(std::uint32_t index, Dialect dialect) {
    const Redirection* input = nullptr;
    const std::vector<Redirection>& redirections = at(index).redirections;
    for (const Redirection& one : redirections) {
        const bool reads = one.kind == RedirectKind::input || one.kind == RedirectKind::here_document ||
                           one.kind == RedirectKind::here_string || one.kind == RedirectKind::duplicate;
        if (one.descriptor == 0 || (one.descriptor == -1 && reads)) input = &one;
    }
    if (input == nullptr || input->kind == RedirectKind::duplicate) {
        guess_input(index);
        return unresolved(index, Unknown::standard_input);
    }
    if (input->kind == RedirectKind::here_document || input->kind == RedirectKind::here_string) {
        if (input->target.known() && !input->target.process) {
            Word text = input->target;
            text.glob = false;  // no names are looked for there
            at(index).transparent = true;
            return run_text(index, text, dialect);
        }
        return unresolved(index,
                          input->target.known() ? Unknown::process_substitution : input->target.unknown);
    }
    // A file: no more and no less known than a script that is named.
    if (!input->target.exact() || input->target.process || is_input_path(input->target.text))
        unresolved(index, Unknown::standard_input);
}

// What plainly written text is piped into the shell, for what may be denied in it.
void Expander::guess_input(std::uint32_t index) {
    constexpr std::size_t kMost = 64;
    for (std::size_t i = 0; i < std::min(state_.line.commands.size(), kMost); ++i) {
        const SimpleCommand& source = state_.line.commands[i];
        if (source.words.empty() || !feeds(state_.line, source, at(index))) continue;
        const std::string_view name = base_name(source.words[0].text);
        if (name == "echo" || name == "printf") {
            const std::size_t from = source.words.size() > 2 && source.words[1].text.starts_with('-') ? 2 : 1;
            if (const Word text = join(source.words, from); text.known()) run_tolerant(index, text.text);
        }
        for (const Redirection& one : source.redirections)
            if ((one.kind == RedirectKind::here_document || one.kind == RedirectKind::here_string) &&
                one.target.known())
                run_tolerant(index, one.target.text);
    }
}

// env(1): options, assignments, the command; -S splits one word into many.
void Expander::environment(std::uint32_t index) {
    constexpr WrapperRule kRule{.name = "env",
                                .flags = "i0v",
                                .valued = "uCa",
                                .long_flags =
                                    "ignore-environment null debug list-signal-handling block-signal "
                                    "default-signal ignore-signal",
                                .long_valued = "unset chdir argv0"};
    Words words = at(index).words;
    std::size_t next = 1;
    for (unsigned splits = 0;; ++splits) {
        if (splits > 8) return odd_options(index, 1);
        next = 1;
        while (next < words.size() && words[next].exact() && words[next].text == "-") ++next;
        std::size_t at_split = next;
        std::string text;
        // -S, or a cluster that ends in it, before the first word that is no option.
        for (; at_split < words.size() && words[at_split].exact(); ++at_split) {
            const std::string& word = words[at_split].text;
            if (word.size() < 2 || word[0] != '-' || word == "--") break;
            if (word.starts_with("--split-string=")) {
                text = word.substr(15);
                break;
            }
            const std::size_t letter = word[1] == '-' ? std::string::npos : word.find_first_of("SuCa", 1);
            const bool split =
                (letter != std::string::npos && word[letter] == 'S') || word == "--split-string";
            if (split && word.size() > letter + 1 && word[1] != '-') {
                text = word.substr(letter + 1);
                break;
            }
            if (split) {
                if (at_split + 1 >= words.size() || !words[at_split + 1].exact())
                    return odd_options(index, 1);
                text = words[at_split + 1].text;
                words.erase(words.begin() + static_cast<std::ptrdiff_t>(at_split));
                break;
            }
            // Another option's value is the next word.
            if (letter != std::string::npos && letter + 1 == word.size()) ++at_split;
        }
        if (text.empty()) break;
        // Quotes, escapes and ${X} have rules of their own there.
        if (text.find_first_of("\\'\"$#\n\v\f") != std::string::npos) return odd_options(index, 1);
        Words parts;
        for (std::size_t from = text.find_first_not_of(" \t"); from != std::string::npos;) {
            const std::size_t until = std::min(text.find_first_of(" \t", from), text.size());
            parts.push_back({.text = text.substr(from, until - from)});
            from = text.find_first_not_of(" \t", until);
        }
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(at_split));
        words.insert(words.begin() + static_cast<std::ptrdiff_t>(at_split), parts.begin(), parts.end());
    }
    next = skip_options(words, next, kRule, nullptr);
    if (next == std::string::npos) return odd_options(index, 1);
    while (next < words.size() && words[next].exact() && words[next].text == "-") ++next;
    std::vector<Assignment> assignments;
    for (; next < words.size() && words[next].text.contains('='); ++next) {
        if (!words[next].exact()) return odd_options(index, 1);
        const std::size_t equals = words[next].text.find('=');
        assignments.push_back(
            {words[next].text.substr(0, equals), {.text = words[next].text.substr(equals + 1)}});
    }
    if (next >= words.size()) return;
    at(index).transparent = true;
    const auto child = static_cast<std::uint32_t>(state_.line.commands.size());
    run_words(index, Words(words.begin() + static_cast<std::ptrdiff_t>(next), words.end()), Origin::wrapped);
    if (child < state_.line.commands.size()) at(child).assignments = std::move(assignments);
}

// su(1), runuser(1), sg(1): -c TEXT anywhere, else a shell that reads its input.
void Expander::switch_user(std::uint32_t index) {
    const Words& words = at(index).words;
    const bool runuser = base_name(words[0].text) == "runuser";
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (!words[i].exact()) return odd_options(index, 1);
        const std::string& text = words[i].text;
        for (const std::string_view name : {"--command=", "--session-command="})
            if (text.starts_with(name))
                return run_text(index, {.text = text.substr(name.size())}, Dialect::posix);
        const bool cluster = text.size() > 1 && text[0] == '-' && text[1] != '-';
        const std::size_t letter = cluster ? text.find('c') : std::string::npos;
        if (letter != std::string::npos && letter + 1 < text.size())
            return run_text(index, {.text = text.substr(letter + 1)}, Dialect::posix);
        if (letter != std::string::npos || text == "--command" || text == "--session-command") {
            if (i + 1 >= words.size()) return unresolved(index, Unknown::wrapper_options);
            return run_text(index, words[i + 1], Dialect::posix);
        }
        if (runuser && (text == "-u" || text == "--user")) return odd_options(index, i + 2);
    }
    if (base_name(words[0].text) == "sg" && words.size() > 2)
        return run_text(index, words[2], Dialect::posix);
    unresolved(index, Unknown::standard_input);
    speculate(index, 1);
}

void Expander::evaluate(std::uint32_t index) {
    const Words& words = at(index).words;
    const bool dashes = words.size() > 1 && words[1].text == "--";
    const Word text = join(words, dashes ? 2 : 1);
    at(index).transparent = true;
    // eval runs in this shell, whichever it is.
    run_text(index, text, at(index).dialect);
}

void Expander::trap(std::uint32_t index) {
    const Words& words = at(index).words;
    std::size_t next = 1;
    if (next < words.size() && (words[next].text == "-p" || words[next].text == "-l")) return;
    if (next < words.size() && words[next].text == "--") ++next;
    if (next + 1 >= words.size()) return;
    if (words[next].exact() && (words[next].text == "-" || words[next].text.empty())) return;
    run_text(index, words[next], at(index).dialect);
}

void Expander::source(std::uint32_t index) {
    const Words& words = at(index).words;
    const std::size_t file = words.size() > 1 && words[1].text == "--" ? 2 : 1;
    if (file >= words.size()) return;
    if (words[file].process) return unresolved(index, Unknown::process_substitution);
    if (words[file].exact() && is_input_path(words[file].text)) shell_input(index, at(index).dialect);
}

void Expander::alias(std::uint32_t index) {
    const Words& words = at(index).words;
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (words[i].text == "-p" || words[i].text == "--") continue;
        const std::size_t equals = words[i].text.find('=');
        if (equals == std::string::npos) {
            if (!words[i].exact()) state_.every_name_alias = true;
            continue;
        }
        state_.aliases.push_back(words[i].text.substr(0, equals));
        // They are compared one by one.
        if (state_.aliases.size() > kMaxAliases) state_.every_name_alias = true;
        Word value = words[i];
        value.text.erase(0, equals + 1);
        run_text(index, value, at(index).dialect);
    }
}

// hash -p PATH NAME makes NAME mean PATH.
void Expander::hash(std::uint32_t index) {
    const Words& words = at(index).words;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& text = words[i].text;
        if (!words[i].exact()) {
            state_.every_name_alias = true;
            return;
        }
        if (text.size() < 2 || text[0] != '-' || !text.contains('p')) continue;
        const bool attached = text.back() != 'p';
        const std::size_t path = attached ? i : i + 1;
        if (path >= words.size()) return;
        run_words(index, {attached ? Word{.text = text.substr(text.find('p') + 1)} : words[path]},
                  Origin::wrapped);
        for (std::size_t name = path + 1; name < words.size(); ++name)
            state_.aliases.push_back(words[name].text);
        return;
    }
}

// Built-ins that expand subscripts or evaluate arithmetic in what they are given.
void Expander::builtin(std::uint32_t index) {
    const Words& words = at(index).words;
    const std::string& name = words[0].text;
    const bool declares = name == "declare" || name == "typeset" || name == "local";
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& text = words[i].text;
        if (text.contains("$(") || text.contains('`')) unresolved(index, Unknown::stored_code);
        const bool option = text.size() > 1 && text[0] == '-';
        if (declares && option && text.find_first_of("in") != std::string::npos)
            unresolved(index, Unknown::arithmetic);
        if (name == "let" && text.find_first_not_of("0123456789+-*/%()<>=!&|^~?:, ") != std::string::npos)
            unresolved(index, Unknown::arithmetic);
        if (name == "enable" && option && text.contains('f')) unresolved(index, Unknown::wrapper_options);
        // `export NAME=value` sets what a bare assignment would.
        const std::size_t equals = text.find('=');
        if (equals != std::string::npos && is_name(text.substr(0, equals)) &&
            (declares || name == "export" || name == "readonly")) {
            at(index).assignments.push_back(
                {text.substr(0, equals), {.text = text.substr(equals + 1), .unknown = words[i].unknown}});
        }
    }
    if (name == "bind") unresolved(index, Unknown::stored_code);
    if (!at(index).assignments.empty()) environment_of(index);
}

}  // namespace substrate::policy
