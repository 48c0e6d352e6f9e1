#include <algorithm>

#include "policy/shell_check.hpp"
#include "policy/shell_parser.hpp"

// Words: bash(1), "QUOTING" and "EXPANSION". A word's text is its value after
// quote removal; what only running can tell makes it unknown.
namespace substrate::policy {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool starts_name(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr bool ends_word(char c) { return std::string_view(" \t\n;&|<>()").contains(c); }

int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

void append_utf8(std::string& out, std::uint32_t code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | (code >> 6));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | (code >> 12));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    } else {
        out += static_cast<char>(0xf0 | (code >> 18));
        out += static_cast<char>(0x80 | ((code >> 12) & 0x3f));
        out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
        out += static_cast<char>(0x80 | (code & 0x3f));
    }
}

}  // namespace

Word ShellParser::word(WordPlace& place) {
    Word out;
    bool brace = false, brace_list = false, bracket = false;
    const std::size_t start = pos_;
    if (peek() == '~') tilde(out);
    while (!stop() && !end()) {
        const char c = peek();
        if ((c == '<' || c == '>') && peek(1) == '(') {
            if (dialect_ == Dialect::posix) refuse("a process substitution means another thing in sh");
            else substitution(out, place, c == '<' ? 0 : 2);
            continue;
        }
        if (c == '(') {
            // `name()` is for the caller; anything else would be an extended pattern.
            if (peek(1) != ')') refuse("a parenthesis stands inside a word");
            break;
        }
        if ((c == '<' || c == '>') && text_[start] == '{' && text_[pos_ - 1] == '}')
            refuse("a redirection names its descriptor by a variable");
        if (ends_word(c)) break;
        if (c == '\\') {
            if (pos_ + 1 >= text_.size()) refuse("it ends with a backslash");
            else if (peek(1) != '\n') out.text += peek(1);
            else if (!pending_.empty()) refuse("a line with a here-document is continued");
            pos_ += 2;
        } else if (c == '\'') {
            single_quoted(out);
        } else if (c == '"') {
            double_quoted(out, place);
        } else if (c == '$') {
            dollar(out, place, /*quoted=*/false);
        } else if (c == '`') {
            backquoted(out, place, /*quoted=*/false);
        } else {
            if (c == '*' || c == '?') out.glob = true;  // NOLINT(bugprone-branch-clone): cases of their own
            else if (c == '[') bracket = true;
            else if (c == ']' && bracket) out.glob = true;
            else if (c == '{') brace = true;
            else if (brace && (c == ',' || (c == '.' && peek(1) == '.'))) brace_list = true;
            else if (c == '}' && brace_list) set_unknown(out, Unknown::braces);
            out.text += c;
            ++pos_;
        }
    }
    if (pos_ == start && !stop()) refuse("a word is missing");
    return out;
}

void ShellParser::tilde(Word& out) {
    std::size_t at = pos_ + 1;
    while (at < text_.size() && !ends_word(text_[at]) && text_[at] != '/') ++at;
    const bool own = at == pos_ + 1;
    if (!own || state_.options.home.empty() || state_.home_assigned) return set_unknown(out, Unknown::home);
    ++pos_;
    out.text += state_.options.home;
}

void ShellParser::single_quoted(Word& out) {
    const std::size_t close = text_.find('\'', pos_ + 1);
    if (close == std::string_view::npos) return refuse("a quote is not closed");
    const std::string_view inside = text_.substr(pos_ + 1, close - pos_ - 1);
    if (!pending_.empty() && inside.contains('\n'))
        return refuse("a quote goes over lines before a here-document");
    out.text += inside;
    pos_ = close + 1;
}

// From the opening quote, or, in a here-document, the whole rest of the text.
void ShellParser::double_quoted(Word& out, WordPlace& place, bool here) {
    if (!here) ++pos_;
    while (!stop()) {
        if (end()) {
            if (!here) refuse("a quote is not closed");
            return;
        }
        const char c = peek();
        if (c == '"' && !here) {
            ++pos_;
            return;
        }
        if (c == '\n' && !pending_.empty()) return refuse("a quote goes over lines before a here-document");
        if (c == '\\' && pos_ + 1 < text_.size()) {
            const char next = peek(1);
            const bool escapes = next == '$' || next == '`' || next == '\\' || (next == '"' && !here);
            if (!escapes && next != '\n') out.text += c;
            if (next != '\n') out.text += next;
            pos_ += 2;
        } else if (c == '$') {
            dollar(out, place, /*quoted=*/true);
        } else if (c == '`') {
            backquoted(out, place, /*quoted=*/true);
        } else {
            out.text += c;
            ++pos_;
        }
    }
}

void ShellParser::dollar(Word& out, WordPlace& place, bool quoted) {
    const char next = peek(1);
    if (next == '(') {
        if (peek(2) == '(') return arithmetic_expansion(out, place);
        ++pos_;
        return substitution(out, place, 0);
    }
    if (next == '{') return parameter(out, place, quoted);
    if (next == '[') return refuse("`$[` is read in more than one way");
    if (next == '\'' && !quoted) return ansi_quoted(out);
    if (next == '"' && !quoted) {
        ++pos_;
        set_unknown(out, Unknown::translation);
        return double_quoted(out, place);
    }
    if (starts_name(next)) {
        pos_ += 2;
        while (!end() && (starts_name(peek()) || is_digit(peek()))) ++pos_;
        return set_unknown(out, Unknown::variable);
    }
    if (is_digit(next) || (next != '\0' && std::string_view("@*#?-$!").contains(next))) {
        pos_ += 2;
        return set_unknown(out, Unknown::variable);
    }
    if (next == '\\') return refuse("a dollar sign stands before a backslash");
    out.text += '$';
    ++pos_;
}

// $'…': bash(1), "QUOTING".
void ShellParser::ansi_quoted(Word& out) {
    if (dialect_ == Dialect::posix) return refuse("$'…' means another thing in sh");
    pos_ += 2;
    const auto number = [this](int base, int most) {
        std::uint32_t value = 0;
        int digits = 0;
        for (; digits < most && hex_value(peek()) >= 0 && hex_value(peek()) < base && !end();
             ++digits, ++pos_)
            value = value * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(hex_value(peek()));
        if (digits == 0 || value == 0 || value > 0x10ffff) refuse("an escape in $'…' has no plain value");
        return value;
    };
    while (!stop()) {
        if (end()) return refuse("a quote is not closed");
        const char c = peek();
        ++pos_;
        if (c == '\'') return;
        if (c == '\n' && !pending_.empty()) return refuse("a quote goes over lines before a here-document");
        if (c != '\\') {
            out.text += c;
            continue;
        }
        constexpr std::string_view kNames = "abeEfnrtv\\'\"?";
        constexpr std::string_view kValues = "\a\b\x1b\x1b\f\n\r\t\v\\'\"?";
        const char name = peek();
        if (const std::size_t found = kNames.find(name); found != std::string_view::npos && !end()) {
            out.text += kValues[found];
            ++pos_;
        } else if (name >= '0' && name <= '7') {
            out.text += static_cast<char>(number(8, 3));
        } else if (name == 'x') {
            ++pos_;
            out.text += static_cast<char>(number(16, 2));
        } else if (name == 'u' || name == 'U') {
            ++pos_;
            append_utf8(out.text, number(16, name == 'u' ? 4 : 8));
        } else {
            refuse("an escape in $'…' is not known");
        }
    }
}

// ${…}: what it gives is unknown; what it runs on the way is not.
void ShellParser::parameter(Word& out, WordPlace& place, bool quoted) {
    set_unknown(out, Unknown::variable);
    if (++state_.nesting > kMaxNesting) state_.refuse_size("it is nested too deeply");
    pos_ += 2;
    // `${ command; }` and `${| command; }` run commands in newer shells.
    if (end() || std::string_view(" \t\n|(<>;&}").contains(peek())) refuse("a parameter's name is missing");
    Word ignored;
    while (!stop()) {
        if (end()) {
            refuse("`${` is not closed");
            break;
        }
        const char c = peek();
        if (c == '}') {
            ++pos_;
            break;
        }
        if (c == '\n' && !pending_.empty()) refuse("a word goes over lines before a here-document");
        else if (c == '\'') {
            // Inside double quotes this quotes or not, by the operator.
            if (quoted) refuse("a quote stands inside `${…}` inside quotes");
            else single_quoted(ignored);
        } else if (c == '"') {
            if (in_here_document_) refuse("a quote stands inside `${…}` in a here-document");
            else double_quoted(ignored, place);
        } else if (c == '\\') {
            pos_ += 2;
        } else if (c == '$') {
            dollar(ignored, place, quoted);
        } else if (c == '`') {
            backquoted(ignored, place, quoted);
        } else if ((c == '<' || c == '>') && peek(1) == '(') {
            refuse("a process substitution stands inside `${…}`");
        } else {
            ++pos_;
        }
    }
    pos_ = std::min(pos_, text_.size());
    --state_.nesting;
}

void ShellParser::arithmetic_expansion(Word& out, WordPlace& place) {
    set_unknown(out, Unknown::arithmetic);
    pos_ += 3;
    arithmetic_text(place, /*semicolons=*/false);
}

bool ShellParser::arithmetic_text(WordPlace& place, bool semicolons) {
    bool variables = false;
    Word ignored;
    for (int open = 0; !stop();) {
        if (end()) {
            refuse("arithmetic is not closed");
            break;
        }
        const char c = peek();
        if (c == ')' && open == 0) {
            // Otherwise it is a substitution that begins with a subshell.
            if (peek(1) != ')') refuse("arithmetic does not end with `))`");
            pos_ += 2;
            break;
        }
        if (c == '(') ++open;
        if (c == ')') --open;
        if (c == '$') {
            dollar(ignored, place, /*quoted=*/true);
            variables = true;
            continue;
        }
        variables = variables || starts_name(c);
        const bool plain = is_digit(c) || starts_name(c) || c == ' ' || c == '\t' ||
                           (c == ';' && semicolons) || std::string_view("+-*/%<>=!&|^~?:,()").contains(c);
        if (!plain) refuse("arithmetic has something unusual in it");
        ++pos_;
    }
    return variables;
}

// $(…), <(…) and >(…), from the parenthesis or, for the latter two, the sign
// before it. `position` is where its commands stand around the word's command.
void ShellParser::substitution(Word& out, WordPlace& place, std::uint32_t position) {
    if (!pending_.empty()) return refuse("a substitution follows a here-document");
    const bool process = peek() != '(';
    pos_ += process ? 2 : 1;
    if (process && out.text.empty() && out.known()) {
        out.text = "/dev/fd/63";
        out.process = true;
    } else {
        set_unknown(out, process ? Unknown::process_substitution : Unknown::command_substitution);
    }
    state_.line.operators = true;
    const std::uint32_t outer = stage_;
    const std::size_t first = pos_;
    const std::size_t starts = starts_.size();
    stage_ = state_.add_stage(outer, pipeline_of(place), position);
    list({});
    stage_ = outer;
    if (stop()) return;
    if (!pending_.empty()) return refuse("a here-document ends after its substitution");
    if (!take(')')) return refuse("a substitution is not closed");
    if (!in_here_document_) return;
    // The text around it is no shell, so this part is read a second time alone.
    std::vector<std::uint32_t> inside(starts_.begin() + static_cast<std::ptrdiff_t>(starts), starts_.end());
    for (std::uint32_t& start : inside) start -= static_cast<std::uint32_t>(first);
    if (const std::string_view why = check_by_grammar(text_.substr(first, pos_ - 1 - first), inside);
        !why.empty())
        refuse(why);
}

void ShellParser::backquoted(Word& out, WordPlace& place, bool quoted) {
    set_unknown(out, Unknown::command_substitution);
    if (!pending_.empty()) return refuse("a substitution follows a here-document");
    std::string inside;
    for (++pos_;; ++pos_) {
        if (end()) return refuse("a backquote is not closed");
        char c = peek();
        if (c == '`') break;
        if (c == '\\' && pos_ + 1 < text_.size()) {
            const char next = peek(1);
            const bool escapes = next == '$' || next == '`' || next == '\\';
            // Shells differ here.
            if (next == '"' && (quoted || in_here_document_))
                return refuse("a quote is escaped inside backquotes");
            if (!escapes) inside += c;
            c = next;
            ++pos_;
        }
        inside += c;
    }
    ++pos_;
    state_.line.operators = true;
    const std::uint32_t stage = state_.add_stage(stage_, pipeline_of(place), 0);
    parse_nested(state_, inside, dialect_, stage, origin_, parent_);
}

}  // namespace substrate::policy
