#include "policy/pattern.hpp"

#include <algorithm>

namespace substrate::policy {
namespace {

constexpr std::string_view kSpecial = "*?[\\";

void append_literal(std::string& glob, std::string_view text) {
    for (const char c : text) {
        if (kSpecial.contains(c) || c == ']') glob += '\\';
        glob += c;
    }
}

// The bracket expression at `at`, or its length 0 when it is none. Sets `hit`.
std::size_t bracket(std::string_view glob, std::size_t at, char c, bool& hit) {
    std::size_t i = at + 1;
    const bool inverted = i < glob.size() && (glob[i] == '!' || glob[i] == '^');
    if (inverted) ++i;
    bool found = false;
    for (bool first = true; i < glob.size() && (first || glob[i] != ']'); first = false) {
        if (glob[i] == '\\' && i + 1 < glob.size()) ++i;
        const auto low = static_cast<unsigned char>(glob[i++]);
        auto high = low;
        if (i + 1 < glob.size() && glob[i] == '-' && glob[i + 1] != ']') {
            high = static_cast<unsigned char>(glob[i + 1]);
            i += 2;
        }
        const auto byte = static_cast<unsigned char>(c);
        found = found || (byte >= low && byte <= high);
    }
    if (i >= glob.size()) return 0;
    hit = found != inverted;
    return i + 1 - at;
}

struct Reader {
    std::string_view text;
    const PatternValues& values;
    std::size_t at = 0;
    std::string problem;

    bool value(std::string& out) {
        for (const auto& [name, with] :
             {std::pair<std::string_view, std::string_view>{"PROJECT", values.project},
              {"HOME", values.home}}) {
            const std::string braced = "${" + std::string(name) + "}";
            std::size_t length = 0;
            if (text.substr(at).starts_with(braced)) length = braced.size();
            else if (text.substr(at + 1).starts_with(name)) length = name.size() + 1;
            if (length == 0) continue;
            if (with.empty()) {
                problem = "it needs $" + std::string(name) + ", which has no value";
                return false;
            }
            append_literal(out, with);
            at += length;
            return true;
        }
        append_literal(out, text.substr(at++, 1));
        return true;
    }

    // One word; false at a problem.
    bool word(std::string& out) {
        while (at < text.size() && text[at] != ' ' && text[at] != '\t') {
            const char c = text[at];
            if (c == '\'' || c == '"') {
                const std::size_t close = text.find(c, at + 1);
                if (close == std::string_view::npos) {
                    problem = "a quote is not closed";
                    return false;
                }
                append_literal(out, text.substr(at + 1, close - at - 1));
                at = close + 1;
            } else if (c == '\\' && at + 1 < text.size()) {
                append_literal(out, text.substr(at + 1, 1));
                at += 2;
            } else if (c == '$') {
                if (!value(out)) return false;
            } else if (std::string_view(";&<>()`\n").contains(c)) {
                problem =
                    "of the shell's operators a pattern may only have | between words; quote what is meant "
                    "literally";
                return false;
            } else {
                out += c;
                ++at;
            }
        }
        return true;
    }
};

}  // namespace

Result<std::vector<NormalPattern>> parse_pattern(std::string_view text, const PatternValues& values) {
    const auto wrong = [&](std::string_view why) {
        return fail(Error(Errc::invalid, "the pattern \"" + std::string(text.substr(0, 80)) +
                                             "\" cannot be used: " + std::string(why)));
    };
    if (text.size() > kMaxPattern) return wrong("it is longer than 4096 bytes");
    if (text.contains('\0')) return wrong("it contains a NUL byte");
    std::vector<NormalPattern> stages;
    std::vector<std::string> words;
    Reader reader{.text = text, .values = values, .at = 0, .problem = {}};
    const auto end_stage = [&] {
        if (words.empty()) return false;
        stages.push_back(normal_pattern(words));
        words.clear();
        return true;
    };
    while (true) {
        reader.at = std::min(text.find_first_not_of(" \t", reader.at), text.size());
        if (reader.at == text.size()) break;
        if (text[reader.at] == '|') {
            ++reader.at;
            if (!end_stage()) return wrong("a part of the pipeline is empty");
            continue;
        }
        std::string word;
        // A pipe need not stand alone: "curl *|sh".
        const std::size_t start = reader.at;
        const std::size_t pipe = text.find('|', start);
        const std::size_t gap = std::min(text.find_first_of(" \t'\"\\", start), text.size());
        Reader part = reader;
        if (pipe != std::string_view::npos && pipe < gap) part.text = text.substr(0, pipe);
        if (!part.word(word)) return wrong(part.problem);
        reader.at = part.at;
        words.push_back(std::move(word));
    }
    if (!end_stage()) return wrong("it is empty");
    if (stages.size() > kMaxPatternStages) return wrong("it has more than 8 parts");
    return stages;
}

bool glob_match(std::string_view glob, std::string_view text) {
    std::size_t g = 0, t = 0, star = std::string_view::npos, resume = 0;
    while (t < text.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++;
            resume = t;
            continue;
        }
        bool hit = false;
        std::size_t length = 1;
        if (g < glob.size()) {
            if (glob[g] == '?') {
                hit = true;
            } else if (glob[g] == '[') {
                length = bracket(glob, g, text[t], hit);
                if (length == 0) {
                    length = 1;
                    hit = text[t] == '[';
                }
            } else if (glob[g] == '\\' && g + 1 < glob.size()) {
                length = 2;
                hit = glob[g + 1] == text[t];
            } else {
                hit = glob[g] == text[t];
            }
        }
        if (hit) {
            g += length;
            ++t;
        } else if (star != std::string_view::npos) {
            g = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (g < glob.size() && glob[g] == '*') ++g;
    return g == glob.size();
}

bool globs_may_meet(std::string_view glob, std::string_view word) {
    if (glob.size() * word.size() > 1u << 16) return true;
    // Cells of one row: which ends of `word` are reachable. A bracket counts as any one byte.
    const auto unit = [](std::string_view text, std::size_t at) -> std::pair<char, std::size_t> {
        if (text[at] == '[') {
            const std::size_t close = text.find(']', at + 2);
            if (close != std::string_view::npos) return {'?', close + 1 - at};
        }
        if (text[at] == '\\' && at + 1 < text.size()) return {'\\', 2};
        return {text[at], 1};
    };
    std::vector<std::vector<bool>> reach(glob.size() + 1, std::vector<bool>(word.size() + 1));
    reach[0][0] = true;
    for (std::size_t i = 0; i <= glob.size(); ++i)
        for (std::size_t j = 0; j <= word.size(); ++j) {
            if (!reach[i][j]) continue;
            const bool more = i < glob.size(), left = j < word.size();
            const auto [a, an] = more ? unit(glob, i) : std::pair<char, std::size_t>{'\0', 0};
            const auto [b, bn] = left ? unit(word, j) : std::pair<char, std::size_t>{'\0', 0};
            const char literal_a = a == '\\' ? glob[i + 1] : a, literal_b = b == '\\' ? word[j + 1] : b;
            if (more && a == '*') {
                reach[i + 1][j] = true;
                if (left) reach[i][j + bn] = true;
            }
            if (left && b == '*') {
                reach[i][j + 1] = true;
                if (more && literal_a != '/') reach[i + an][j] = true;
            }
            if (!more || !left || a == '*' || b == '*') continue;
            const bool same = a == '?' || (b == '?' ? literal_a != '/' : literal_a == literal_b);
            if (same) reach[i + an][j + bn] = true;
        }
    return reach[glob.size()][word.size()];
}

bool is_literal(std::string_view glob) {
    for (std::size_t i = 0; i < glob.size(); ++i) {
        if (glob[i] == '\\') ++i;
        else if (glob[i] == '*' || glob[i] == '?' || glob[i] == '[') return false;
    }
    return true;
}

std::string literal_of(std::string_view glob) {
    std::string out;
    for (std::size_t i = 0; i < glob.size(); ++i) {
        if (glob[i] == '\\' && i + 1 < glob.size()) ++i;
        out += glob[i];
    }
    return out;
}

}  // namespace substrate::policy
