#include "policy/expand.hpp"

#include <algorithm>

namespace substrate::policy {
namespace {

constexpr std::uint8_t kMaxWrappers = 32;
constexpr std::size_t kMaxSpeculated = 48;
constexpr std::size_t kMaxSpeculatedWords = 512;
constexpr std::size_t kMaxCopiedWords = 1'000'000;

// Assignments that change what programs are or do in ways that no reading shows.
constexpr std::string_view kHarmful =
    "LD_PRELOAD LD_AUDIT BASH_ENV ENV SHELLOPTS BASHOPTS PS0 PS4 PERL5OPT RUBYOPT NODE_OPTIONS PYTHONSTARTUP "
    "GIT_CONFIG_COUNT GIT_CONFIG_PARAMETERS GIT_EXEC_PATH GCONV_PATH PERL5DB";
// Assignments whose values are run.
constexpr std::string_view kCommandValued =
    "GIT_SSH_COMMAND GIT_SSH GIT_EDITOR GIT_SEQUENCE_EDITOR EDITOR VISUAL PAGER GIT_PAGER MANPAGER "
    "GIT_EXTERNAL_DIFF "
    "GIT_ASKPASS SSH_ASKPASS SUDO_ASKPASS SUDO_EDITOR BROWSER RSYNC_RSH CVS_RSH PROMPT_COMMAND "
    "GIT_PROXY_COMMAND "
    "FZF_DEFAULT_COMMAND RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER";

bool plain_ascii(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

void Expander::run() {
    for (std::uint32_t index = 0; index < state_.line.commands.size() && !state_.refused(); ++index)
        expand(index);
    if (state_.refused()) return;
    for (SimpleCommand& command : state_.line.commands) judge(command);
}

void Expander::expand(std::uint32_t index) {
    const std::uint32_t parent = at(index).parent;
    depth_.push_back(parent == kNoParent ? 0 : static_cast<std::uint8_t>(depth_[parent] + 1));
    if (depth_[index] > kMaxWrappers) return state_.refuse_size("too many wrappers stand around one command");
    environment_of(index);
    if (at(index).words.empty() || state_.refused()) return;
    const Word& program = at(index).words[0];
    if (!program.exact() || program.process) {
        // An unset variable leaves the next word as the program.
        if (at(index).origin != Origin::speculative) speculate(index, 1);
        return;
    }
    const WrapperRule& rule = wrapper_rule(base_name(program.text));
    switch (rule.kind) {
        case WrapperKind::none: return;
        case WrapperKind::plain: return plain(index, rule);
        case WrapperKind::environment: return environment(index);
        case WrapperKind::shell: return shell(index);
        case WrapperKind::switch_user: return switch_user(index);
        case WrapperKind::evaluate: return evaluate(index);
        case WrapperKind::trap: return trap(index);
        case WrapperKind::source: return source(index);
        case WrapperKind::alias: return alias(index);
        case WrapperKind::hash: return hash(index);
        case WrapperKind::callbacks: return callbacks(index, rule);
        case WrapperKind::builtin: return builtin(index);
        case WrapperKind::multi_call:
            at(index).transparent = at(index).words.size() > 1;
            return run_words(index, Words(at(index).words.begin() + 1, at(index).words.end()),
                             Origin::wrapped);
        case WrapperKind::loader: return loader(index, rule);
        case WrapperKind::xargs: return xargs(index, rule);
        case WrapperKind::find: return find(index);
        case WrapperKind::fd: return fd(index);
        case WrapperKind::watch: return watch(index, rule);
        case WrapperKind::git: return git(index);
        case WrapperKind::opaque: return speculate(index, 1);
        case WrapperKind::opaque_by_verb: return after_verb(index);
    }
}

// Whether the command is known in full, once all of the line is.
void Expander::judge(SimpleCommand& command) const {
    if (command.unresolved != Unknown::none || command.words.empty()) return;
    const Word& program = command.words[0];
    if (program.glob) command.unresolved = Unknown::file_names;
    else if (program.process) command.unresolved = Unknown::process_substitution;
    else if (!plain_ascii(base_name(program.text)) && program.known())
        command.unresolved = Unknown::look_alike;
    else if (state_.every_name_alias ||
             std::ranges::find(state_.aliases, program.text) != state_.aliases.end())
        command.unresolved = Unknown::alias_name;
    for (const Word& word : command.words)
        if (!word.known() && command.unresolved == Unknown::none) command.unresolved = word.unknown;
}

void Expander::environment_of(std::uint32_t index) {
    const std::vector<Assignment> assignments = at(index).assignments;
    for (const Assignment& set : assignments) {
        if (listed(kHarmful, set.name) || set.name.starts_with("BASH_FUNC_") ||
            set.name.starts_with("GIT_CONFIG_"))
            unresolved(index, Unknown::environment);
        else if (listed(kCommandValued, set.name)) run_text(index, set.value, Dialect::posix);
    }
}

void Expander::unresolved(std::uint32_t index, Unknown why) {
    if (at(index).unresolved == Unknown::none) at(index).unresolved = why;
}

std::size_t Expander::skip_options(const Words& words, std::size_t from, const WrapperRule& rule,
                                   std::string* seen) const {
    std::size_t next = from;
    for (; next < words.size(); ++next) {
        const Word& word = words[next];
        if (!word.exact() || word.process) return std::string::npos;
        const std::string& text = word.text;
        if (text == "--") return next + 1;
        if (text.size() < 2 || text[0] != '-') return next;
        if (text[1] == '-') {
            const std::size_t equals = std::min(text.find('='), text.size());
            const std::string_view name = std::string_view(text).substr(2, equals - 2);
            const bool valued = listed(rule.long_valued, name);
            if (rule.numbers && name.find_first_not_of("0123456789") == std::string_view::npos) continue;
            if (!valued && !listed(rule.long_flags, name)) return std::string::npos;
            if (seen != nullptr) (*seen += ' ') += name;
            if (valued && equals == text.size()) ++next;
        } else if (rule.numbers &&
                   text.find_first_not_of("0123456789", text[1] == '+' ? 2 : 1) == std::string::npos) {
            continue;
        } else {
            for (std::size_t i = 1; i < text.size(); ++i) {
                if (seen != nullptr) (*seen += ' ') += text[i];
                if (rule.valued.contains(text[i])) {
                    if (i + 1 == text.size()) ++next;
                    break;
                }
                if (!rule.flags.contains(text[i])) return std::string::npos;
            }
        }
        // The value of an option must be a word that we know to be one word.
        if (next < words.size() && (!words[next].exact() || words[next].process)) return std::string::npos;
    }
    return std::min(next, words.size());
}

void Expander::odd_options(std::uint32_t index, std::size_t from) {
    unresolved(index, Unknown::wrapper_options);
    speculate(index, from);
}

void Expander::plain(std::uint32_t index, const WrapperRule& rule) {
    const Words& words = at(index).words;
    if (rule.quiet_v && words.size() > 1 && (words[1].text == "-v" || words[1].text == "-V")) return;
    std::string seen;
    std::size_t next = skip_options(words, 1, rule, &seen);
    if (next == std::string::npos) return odd_options(index, 1);
    std::vector<Assignment> assignments;
    for (; rule.assignments && next < words.size(); ++next) {
        const std::size_t equals = words[next].text.find('=');
        if (equals == std::string::npos || !words[next].exact()) break;
        assignments.push_back(
            {words[next].text.substr(0, equals), {.text = words[next].text.substr(equals + 1)}});
    }
    for (unsigned i = 0; i < rule.operands && next < words.size(); ++i, ++next)
        if (!words[next].exact()) return odd_options(index, next);
    if (rule.line_option && next < words.size() &&
        (words[next].text == "-c" || words[next].text == "--command")) {
        at(index).transparent = rule.transparent;
        return run_text(index,
                        next + 1 < words.size() ? words[next + 1] : Word{.unknown = Unknown::wrapper_options},
                        Dialect::posix);
    }
    // flock reads options after its operand too.
    if (rule.operands > 0 && next < words.size() && words[next].text == "--") ++next;
    if (next >= words.size()) {
        const bool starts_shell =
            (rule.name == "sudo" || rule.name == "doas") &&
            (listed(seen, "s") || listed(seen, "i") || listed(seen, "shell") || listed(seen, "login"));
        if (starts_shell || rule.name == "chroot" || rule.name == "unshare" || rule.name == "nsenter")
            run_words(index, {{.text = "sh"}}, Origin::wrapped);
        return;
    }
    at(index).transparent = rule.transparent;
    const auto child = static_cast<std::uint32_t>(state_.line.commands.size());
    run_words(index, Words(words.begin() + static_cast<std::ptrdiff_t>(next), words.end()), Origin::wrapped);
    if (child < state_.line.commands.size()) at(child).assignments = std::move(assignments);
}

void Expander::run_words(std::uint32_t index, Words words, Origin origin) {
    if (words.empty()) return;
    if (state_.line.commands.size() >= kMaxCommands) return state_.refuse_size("it holds too many commands");
    copied_words_ += words.size();
    if (copied_words_ > kMaxCopiedWords) return state_.refuse_size("its wrappers hold too many words");
    const SimpleCommand& by = at(index);
    SimpleCommand found{.words = std::move(words), .redirections = by.redirections, .stage = by.stage};
    found.origin = by.origin == Origin::speculative ? Origin::speculative : origin;
    found.parent = index;
    found.dialect = by.dialect;
    state_.line.commands.push_back(std::move(found));
}

void Expander::run_text(std::uint32_t index, const Word& text, Dialect dialect) {
    if (!text.exact() || text.process) {
        unresolved(index, !text.known()  ? text.unknown
                          : text.process ? Unknown::process_substitution
                                         : Unknown::file_names);
        if (text.unknown == Unknown::appended) run_tolerant(index, text.text);
        return;
    }
    // What is only guessed to be a command must not make the line unreadable.
    if (at(index).origin == Origin::speculative) return run_tolerant(index, text.text);
    const unsigned before = state_.nesting;
    state_.nesting += depth_[index];
    parse_nested(state_, text.text, dialect, at(index).stage, Origin::nested, index);
    state_.nesting = before;
}

// Reads `text` for what may be denied in it, if it can be read at all.
void Expander::run_tolerant(std::uint32_t index, std::string_view text) {
    if (text.size() > 4096) return unresolved(index, Unknown::too_many);
    ParseState other;
    other.options = state_.options;
    ShellParser(other, text, Dialect::bash, 0, Origin::speculative, kNoParent).parse();
    if (other.refused()) return;
    for (SimpleCommand& command : other.line.commands) {
        if (state_.line.commands.size() >= kMaxCommands)
            return state_.refuse_size("it holds too many commands");
        command.parent = index;
        command.stage = at(index).stage;
        state_.line.commands.push_back(std::move(command));
    }
}

// Tools with verbs run what follows one of these.
void Expander::after_verb(std::uint32_t index) {
    const Words& words = at(index).words;
    for (std::size_t i = 1; i < words.size(); ++i)
        if (listed("run exec x dlx shell develop --", words[i].text)) return speculate(index, i + 1);
}

// Every word that may begin a command is taken for one, for denials.
void Expander::speculate(std::uint32_t index, std::size_t from) {
    if (at(index).origin == Origin::speculative) return;
    const Words& words = at(index).words;
    if (words.size() > from + kMaxSpeculated) unresolved(index, Unknown::too_many);
    const std::size_t until = std::min(words.size(), from + kMaxSpeculated);
    for (std::size_t i = from; i < until; ++i) {
        const std::string& text = words[i].text;
        if (text.empty() || text[0] == '-') continue;
        if (text.find_first_of(" \t\n;|&$`") != std::string::npos && words[i].exact())
            run_tolerant(index, text);
        else if (words[i].exact()) {
            const auto first = words.begin() + static_cast<std::ptrdiff_t>(i);
            const std::size_t most = std::min(words.size() - i, kMaxSpeculatedWords);
            run_words(index, Words(first, first + static_cast<std::ptrdiff_t>(most)), Origin::speculative);
            state_.line.commands.back().origin = Origin::speculative;
        }
    }
}

}  // namespace substrate::policy
