#include <algorithm>
#include <array>

#include "policy/expand.hpp"

// Tools that run commands among their other jobs.
namespace substrate::policy {
namespace {

// Settings of git whose values are commands: git-config(1).
constexpr std::string_view kGitCommands =
    "core.pager core.editor core.sshcommand core.askpass core.fsmonitor core.gitproxy "
    "core.alternaterefscommand "
    "sequence.editor diff.external credential.helper gpg.program gpg.openpgp.program gpg.ssh.program "
    "gpg.x509.program "
    "gpg.ssh.defaultkeycommand uploadpack.packobjectshook web.browser man.viewer interactive.difffilter "
    "init.templatedir "
    "remote.origin.uploadpack remote.origin.receivepack";
constexpr std::array<std::string_view, 12> kGitEndings = {
    ".textconv", ".command", ".clean",  ".smudge",     ".process",     ".cmd",
    ".path",     ".driver",  ".helper", ".uploadpack", ".receivepack", ".pager"};

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

// `words` from `from` on; where they hold `place`, the tool puts in what it finds.
std::vector<Word> filled(const std::vector<Word>& words, std::size_t from, std::size_t until,
                         std::string_view place) {
    std::vector<Word> out(words.begin() + static_cast<std::ptrdiff_t>(from),
                          words.begin() + static_cast<std::ptrdiff_t>(until));
    for (Word& word : out)
        if (!place.empty() && word.text.contains(place) && word.known()) word.unknown = Unknown::appended;
    return out;
}

}  // namespace

// Options whose value is a command line.
void Expander::callbacks(std::uint32_t index, const WrapperRule& rule) {
    const Words& words = at(index).words;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& text = words[i].text;
        if (!words[i].exact() || text.size() < 2 || text[0] != '-') continue;
        Word value = i + 1 < words.size() ? words[i + 1] : Word{.unknown = Unknown::wrapper_options};
        bool found = false;
        if (text[1] == '-') {
            const std::size_t equals = std::min(text.find('='), text.size());
            const std::string_view name = std::string_view(text).substr(2, equals - 2);
            // getopt_long(3) takes any beginning of a name.
            for (std::string_view rest = rule.long_valued; !rest.empty() && !found && !name.empty();) {
                const std::size_t space = std::min(rest.find(' '), rest.size());
                found = rest.substr(0, space).starts_with(name);
                rest.remove_prefix(std::min(space + 1, rest.size()));
            }
            if (equals < text.size()) value = {.text = text.substr(equals + 1)};
        } else if (const std::size_t letter = text.find_first_of(rule.valued, 1);
                   !rule.valued.empty() && letter != std::string::npos) {
            found = true;
            if (letter + 1 < text.size()) value = {.text = text.substr(letter + 1)};
        }
        if (!found) continue;
        if (value.text.starts_with("exec=")) value.text.erase(0, 5);
        // Old spellings and clusters mean other things too: not a reason to refuse the line.
        if (value.exact()) run_tolerant(index, value.text);
        else unresolved(index, value.known() ? Unknown::file_names : value.unknown);
    }
}

void Expander::loader(std::uint32_t index, const WrapperRule& rule) {
    const Words& words = at(index).words;
    std::size_t next = 1;
    for (; next < words.size(); ++next) {
        if (!words[next].exact()) return odd_options(index, next);
        const std::string& text = words[next].text;
        if (!text.starts_with("--")) break;
        const std::string_view name = std::string_view(text).substr(2);
        if (name == "preload" || name == "audit") unresolved(index, Unknown::environment);
        if (listed(rule.long_valued, name)) ++next;
        else if (!listed(rule.long_flags, name)) return odd_options(index, next + 1);
    }
    if (next >= words.size()) return;
    at(index).transparent = true;
    run_words(index, Words(words.begin() + static_cast<std::ptrdiff_t>(next), words.end()), Origin::wrapped);
}

void Expander::xargs(std::uint32_t index, const WrapperRule& rule) {
    const Words& words = at(index).words;
    std::string place;
    std::size_t next = 1;
    for (; next < words.size(); ++next) {
        const std::string& text = words[next].text;
        if (!words[next].exact() || text.size() < 2 || text[0] != '-' || text == "--") break;
        // -i, -e and -l have their values attached or none.
        const std::size_t letter = text[1] == '-' ? std::string::npos : text.find_first_of("iIel", 1);
        if (letter != std::string::npos && text.find_first_of("adELnPs", 1) > letter) {
            const bool replaces = text[letter] == 'i' || text[letter] == 'I';
            if (replaces) place = letter + 1 < text.size() ? text.substr(letter + 1) : "{}";
            if (text[letter] == 'I' && letter + 1 == text.size()) {
                ++next;
                if (next >= words.size() || !words[next].exact()) return odd_options(index, next);
                place = words[next].text;
            }
            continue;
        }
        if (text.starts_with("--replace")) place = text.size() > 10 ? text.substr(10) : "{}";
        const Words one(words.begin() + static_cast<std::ptrdiff_t>(next), words.end());
        const std::size_t stop = skip_options({one.begin(), one.begin() + 1}, 0, rule, nullptr);
        if (stop == std::string::npos) return odd_options(index, next + 1);
        const bool attached = text[1] == '-' ? text.contains('=') || listed(rule.long_flags, text.substr(2))
                                             : !rule.valued.contains(text.back()) ||
                                                   text.find_first_of(rule.valued, 1) + 1 != text.size();
        if (!attached) ++next;
    }
    if (next < words.size() && words[next].text == "--") ++next;
    if (next >= words.size()) return;
    if (!words[next].exact()) return odd_options(index, next);
    Words inner = filled(words, next, words.size(), place);
    inner.push_back({.text = {}, .unknown = Unknown::appended});
    at(index).transparent = true;
    run_words(index, std::move(inner), Origin::wrapped);
}

void Expander::find(std::uint32_t index) {
    const Words& words = at(index).words;
    constexpr std::array<std::string_view, 4> kActions = {"-exec", "-execdir", "-ok", "-okdir"};
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (std::ranges::find(kActions, words[i].text) == kActions.end()) continue;
        std::size_t stop = i + 1;
        while (stop < words.size() && words[stop].text != ";" &&
               !(words[stop].text == "+" && words[stop - 1].text == "{}"))
            ++stop;
        if (stop >= words.size()) return odd_options(index, i + 1);
        run_words(index, filled(words, i + 1, stop, "{}"), Origin::wrapped);
        i = stop;
    }
}

// fd(1): everything after -x or -X up to `;` is the command.
void Expander::fd(std::uint32_t index) {
    const Words& words = at(index).words;
    for (std::size_t i = 1; i < words.size(); ++i) {
        const std::string& text = words[i].text;
        const bool cluster = text.size() > 1 && text[0] == '-' && text[1] != '-' &&
                             text.find_first_of("xX") != std::string::npos;
        if (!cluster && !text.starts_with("--exec")) continue;
        if (text.contains('=') || (cluster && text.find_first_of("xX") + 1 != text.size()))
            return odd_options(index, 1);
        std::size_t stop = i + 1;
        while (stop < words.size() && words[stop].text != ";") ++stop;
        Words inner = filled(words, i + 1, stop, "{");
        inner.push_back({.text = {}, .unknown = Unknown::appended});
        run_words(index, std::move(inner), Origin::wrapped);
        i = stop;
    }
}

void Expander::watch(std::uint32_t index, const WrapperRule& rule) {
    const Words& words = at(index).words;
    std::string seen;
    const std::size_t next = skip_options(words, 1, rule, &seen);
    if (next == std::string::npos) return odd_options(index, 1);
    if (next >= words.size()) return;
    at(index).transparent = true;
    Words rest(words.begin() + static_cast<std::ptrdiff_t>(next), words.end());
    if (listed(seen, "x") || listed(seen, "exec")) return run_words(index, std::move(rest), Origin::wrapped);
    Word line;
    for (const Word& word : rest) {
        if (!word.exact() || word.process)
            return unresolved(index, word.known() ? Unknown::file_names : word.unknown);
        line.text += (line.text.empty() ? "" : " ") + word.text;
    }
    run_text(index, line, Dialect::posix);
}

// git(1): -c settings before the verb, and verbs that run commands.
void Expander::git(std::uint32_t index) {
    const Words& words = at(index).words;
    std::size_t next = 1;
    for (; next < words.size(); ++next) {
        const std::string& text = words[next].text;
        if (!words[next].known() || text.size() < 2 || text[0] != '-') break;
        if (text == "-c") {
            if (++next < words.size()) git_setting(index, words[next]);
        } else if (text.starts_with("--config-env")) {
            unresolved(index, Unknown::environment);
            if (!text.contains('=')) ++next;
        } else if (text.starts_with("--exec-path=")) {
            unresolved(index, Unknown::environment);
        } else if (text == "-C" || text == "--git-dir" || text == "--work-tree" || text == "--namespace" ||
                   text == "--super-prefix" || text == "--attr-source" || text == "--list-cmds") {
            ++next;
        }
        if (state_.refused()) return;
    }
    if (next < words.size()) git_verb(index, next);
}

void Expander::git_setting(std::uint32_t index, const Word& setting) {
    const std::size_t equals = setting.text.find('=');
    if (equals == std::string::npos) return;
    const std::string name = lower(setting.text.substr(0, equals));
    Word value = setting;
    value.text.erase(0, equals + 1);
    const bool shell = value.text.starts_with('!');
    const bool runs =
        shell || listed(kGitCommands, name) || name.starts_with("pager.") || name.starts_with("trailer.") ||
        std::ranges::any_of(kGitEndings, [&](std::string_view ending) { return name.ends_with(ending); });
    if (name == "core.hookspath" || name == "include.path" || name.starts_with("includeif."))
        unresolved(index, Unknown::environment);
    if (!runs) return;
    if (shell) value.text.erase(0, 1);
    value.glob = false;
    if (!value.text.empty() || !value.known()) run_text(index, value, Dialect::posix);
}

void Expander::git_verb(std::uint32_t index, std::size_t verb) {
    const Words& words = at(index).words;
    if (!words[verb].exact()) return;
    const std::string& name = words[verb].text;
    const auto word = [&](std::size_t i) { return i < words.size() ? words[i].text : std::string(); };
    if (name == "bisect" && word(verb + 1) == "run" && verb + 2 < words.size())
        return run_words(index, Words(words.begin() + static_cast<std::ptrdiff_t>(verb) + 2, words.end()),
                         Origin::wrapped);
    if (name == "filter-branch" || name == "difftool" || name == "mergetool" || name == "send-email")
        return odd_options(index, verb + 1);
    if (name == "submodule")
        for (std::size_t i = verb + 1; i < words.size(); ++i) {
            if (words[i].text != "foreach") continue;
            while (word(i + 1).starts_with("--")) ++i;
            Word line;
            for (++i; i < words.size(); ++i) {
                if (!words[i].exact()) return odd_options(index, i);
                line.text += (line.text.empty() ? "" : " ") + words[i].text;
            }
            return run_text(index, line, Dialect::posix);
        }
    for (std::size_t i = verb + 1; i < words.size() && !state_.refused(); ++i) {
        const std::string& text = words[i].text;
        const bool next_runs = (name == "rebase" && (text == "-x" || text == "--exec")) ||
                               text == "--upload-pack" || text == "--receive-pack" ||
                               (name == "clone" && text == "-u");
        if (next_runs && i + 1 < words.size()) run_text(index, words[i + 1], Dialect::posix);
        else if (name == "rebase" && text.starts_with("--exec="))
            run_text(index, {.text = text.substr(7), .unknown = words[i].unknown}, Dialect::posix);
        else if (name == "rebase" && text.starts_with("-x") && text.size() > 2)
            run_text(index, {.text = text.substr(2), .unknown = words[i].unknown}, Dialect::posix);
        else if (text.starts_with("--upload-pack=") || text.starts_with("--receive-pack=") ||
                 text.starts_with("--open-files-in-pager="))
            run_text(index, {.text = text.substr(text.find('=') + 1), .unknown = words[i].unknown},
                     Dialect::posix);
        else if (text.starts_with("ext::")) unresolved(index, Unknown::wrapper_options);
        else if (name == "clone" && (text == "-c" || text == "--config") && i + 1 < words.size())
            git_setting(index, words[i + 1]);
        // An alias or a helper that is being stored.
        else if (name == "config" && text.starts_with('!') && words[i].exact())
            run_text(index, {.text = text.substr(1)}, Dialect::posix);
    }
}

bool git_may_run_others(const std::vector<std::string>& argv) {
    constexpr std::string_view kVerbs =
        "bisect filter-branch difftool mergetool send-email submodule rebase clone config";
    if (argv.size() < 2) return false;
    if (argv[1].starts_with('-') || listed(kVerbs, argv[1])) return true;
    return std::any_of(argv.begin() + 2, argv.end(), [](std::string_view word) {
        return word.starts_with("--upload-pack") || word.starts_with("--receive-pack") ||
               word.starts_with("--open-files-in-pager=") || word.starts_with("ext::");
    });
}

}  // namespace substrate::policy
