#include "shell/word_completion.hpp"

#include <algorithm>

namespace substrate::shell {
namespace {

constexpr std::string_view kBlanks = " \t\n";
constexpr std::string_view kOperators = "|;&()<>`";
constexpr std::string_view kSpecial = " \t\n|;&()<>`\\\"'$*?[]#!{}~";

// The word at the end, as it stands there.
struct Place {
    std::size_t begin = 0;
    bool quoted = false;   // it ends within quotes, or has some
    bool command = false;  // one may stand there
};

Place find_place(std::string_view text) {
    Place place{.command = true};
    char quote = 0;
    bool next_is_command = true;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quote != 0) {
            if (c == quote) quote = 0;
            else if (c == '\\' && quote == '"') ++i;
        } else if (c == '\\') {
            ++i;
        } else if (c == '\'' || c == '"') {
            quote = c;
            place.quoted = true;
        } else if (kBlanks.contains(c) || kOperators.contains(c)) {
            const bool had_word = i > place.begin;
            if (c == '\n' || (kOperators.contains(c) && c != '<' && c != '>')) next_is_command = true;
            else if (had_word || c == '<' || c == '>') next_is_command = false;
            place = {.begin = i + 1, .command = next_is_command};
        }
    }
    return place;
}

std::string without_backslashes(std::string_view word) {
    std::string text;
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (word[i] == '\\' && i + 1 < word.size()) ++i;
        text += word[i];
    }
    return text;
}

std::string with_backslashes(std::string_view name) {
    std::string text;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (kSpecial.contains(name[i]) && !(i == 0 && name[i] == '~')) text += '\\';
        text += name[i];
    }
    return text;
}

}  // namespace

Completion complete_word(std::string_view before, const std::vector<std::string>& own,
                         const WordSource& source) {
    const Place place = find_place(before);
    const std::string_view word = before.substr(place.begin);
    Completion found{.replaced = word.size(), .words = {}};
    if (place.quoted) return found;
    if (place.begin == 0 && word.starts_with(':')) {
        for (const std::string& name : own)
            if (name.starts_with(word)) found.words.push_back(name);
        return found;
    }
    if (const std::size_t dollar = word.rfind('$'); dollar != std::string_view::npos) {
        found.replaced = word.size() - dollar;
        for (const std::string& name : source("variable", std::string(word.substr(dollar + 1))))
            found.words.push_back("$" + name);
        return found;
    }
    // Behind `=` in an assignment or an option a file may stand.
    const std::size_t equals = place.command ? std::string_view::npos : word.rfind('=');
    const std::string_view part = equals == std::string_view::npos ? word : word.substr(equals + 1);
    found.replaced = part.size();
    const bool command = place.command && !part.contains('/');
    if (command && part.empty()) return found;  // all there are
    std::vector<std::string> names = source(command ? "command" : "file", without_backslashes(part));
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    for (const std::string& name : names) {
        // Directories are among the files as well.
        if (!command && std::ranges::binary_search(names, name + "/")) continue;
        found.words.push_back(with_backslashes(name));
    }
    return found;
}

}  // namespace substrate::shell
