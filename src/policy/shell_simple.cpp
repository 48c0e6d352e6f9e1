#include <algorithm>
#include <array>
#include <cstdlib>

#include "policy/shell_parser.hpp"

// Simple commands: assignments, words, redirections and here-documents.
namespace substrate::policy {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool starts_name(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::array<std::string_view, 5> kDeclaring = {"declare", "typeset", "local", "export", "readonly"};

// A delimiter that all shells read alike: letters and such, perhaps quoted as a whole.
bool plain_delimiter(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return starts_name(c) || is_digit(c) || std::string_view("-.+@%^:,!/=").contains(c);
    });
}

bool holds_substitution(std::string_view text) {
    return text.contains("$(") || text.contains('`') || text.contains("<(") || text.contains("${");
}

}  // namespace

bool is_name(std::string_view text) {
    return !text.empty() && starts_name(text[0]) &&
           std::ranges::all_of(text, [](char c) { return starts_name(c) || is_digit(c); });
}

bool ShellParser::at_command_end() const {
    if (end()) return true;
    const char c = peek();
    return c == '\n' || c == ';' || c == '|' || c == ')' || (c == '&' && peek(1) != '>');
}

bool ShellParser::at_redirection() const {
    std::size_t at = pos_;
    while (at < text_.size() && is_digit(text_[at])) ++at;
    if (at >= text_.size()) return false;
    if (text_[at] == '&' && at == pos_) return at + 1 < text_.size() && text_[at + 1] == '>';
    if (text_[at] != '<' && text_[at] != '>') return false;
    return at > pos_ || at + 1 >= text_.size() || text_[at + 1] != '(';
}

void ShellParser::simple_command() {
    const std::size_t index = state_.line.commands.size();
    if (index >= kMaxCommands) return state_.refuse_size("it holds too many commands");
    state_.line.commands.emplace_back();  // keeps the order of appearance
    SimpleCommand found{.stage = stage_};
    WordPlace place;
    bool declaring = false;
    skip_blanks();
    const std::size_t first = pos_;
    for (skip_blanks(); !stop() && !at_command_end(); skip_blanks()) {
        if (at_redirection()) {
            redirection(&found, index, place);
            continue;
        }
        if (found.words.empty() && assignment(found, place)) continue;
        if (stop()) return;
        if (peek() == '(') {
            // `name ()`: the words so far name a function.
            const bool plain =
                found.words.size() == 1 && found.assignments.empty() && found.redirections.empty();
            ++pos_;
            skip_blanks();
            if (!plain || !found.words[0].exact() || found.words[0].process || !take(')'))
                return refuse("a parenthesis stands where it may not");
            starts_.pop_back();
            return function_body();
        }
        if (found.words.empty()) record_start();
        // An argument of `declare` and its kind may be an array.
        if (declaring) {
            SimpleCommand declared;
            if (assignment(declared, place)) {
                Word& value = declared.assignments.back().value;
                if (value.known() && holds_substitution(value.text)) found.unresolved = Unknown::stored_code;
                value.text = declared.assignments.back().name + "=" + value.text;
                value.glob = false;
                found.words.push_back(std::move(value));
                continue;
            }
            if (stop()) return;
        }
        found.words.push_back(word(place));
        if (stop()) return;
        declaring = declaring || (found.words.size() == 1 && found.words[0].exact() &&
                                  std::ranges::find(kDeclaring, found.words[0].text) != kDeclaring.end());
    }
    if (stop()) return;
    if (found.words.empty() && found.assignments.empty() && pos_ == first)
        return refuse("a command is missing");
    finish_simple(std::move(found), index, place);
}

void ShellParser::finish_simple(SimpleCommand found, std::size_t index, const WordPlace& place) {
    if (index >= kMaxCommands) return state_.refuse_size("it holds too many commands");
    if (index == state_.line.commands.size()) state_.line.commands.emplace_back();
    found.origin = origin_;
    found.dialect = dialect_;
    found.parent = parent_;
    if (place.pipeline != 0) {
        state_.line.operators = true;
        found.stage = state_.add_stage(found.stage, place.pipeline, 1);
    }
    for (const Assignment& set : found.assignments)
        if (set.value.known() && holds_substitution(set.value.text)) found.unresolved = Unknown::stored_code;
    // Here-documents that were read already are in their place.
    state_.line.commands[index] = std::move(found);
}

// NAME=value, NAME+=value, NAME[index]=value, NAME=(…).
bool ShellParser::assignment(SimpleCommand& found, WordPlace& place) {
    std::size_t at = pos_;
    if (at >= text_.size() || !starts_name(text_[at])) return false;
    while (at < text_.size() && (starts_name(text_[at]) || is_digit(text_[at]))) ++at;
    const std::string_view name = text_.substr(pos_, at - pos_);
    if (at < text_.size() && text_[at] == '[') {
        const std::size_t close = text_.find(']', at);
        if (close == std::string_view::npos) return false;
        const std::string_view after = text_.substr(close + 1);
        if (!after.starts_with('=') && !after.starts_with("+=")) {
            // A subscript may hold brackets, quotes and commands.
            if (text_.substr(at, 256).contains("]=") || text_.substr(at, 256).contains("]+="))
                refuse("a subscript is not plain");
            return false;
        }
        if (!std::ranges::all_of(text_.substr(at + 1, close - at - 1), is_digit)) {
            refuse("a subscript is not a number");
            return false;
        }
        at = close + 1;
    }
    if (at < text_.size() && text_[at] == '+') ++at;
    if (at >= text_.size() || text_[at] != '=') return false;
    pos_ = at + 1;
    Assignment set{.name = std::string(name), .value = {}};
    if (peek() == '(') set.value = array(place);
    else if (!end() && !std::string_view(" \t\n;&|<>)").contains(peek()))
        set.value = word(place);  // NOLINT(bugprone-branch-clone): cases of their own
    else if ((peek() == '<' || peek() == '>') && peek(1) == '(') set.value = word(place);
    if (set.value.text.starts_with('~') || set.value.text.contains(":~"))
        set_unknown(set.value, Unknown::home);
    found.assignments.push_back(std::move(set));
    return true;
}

// The value of an array: only what its substitutions run matters.
Word ShellParser::array(WordPlace& place) {
    if (dialect_ == Dialect::posix) refuse("an array means another thing in sh");
    ++pos_;
    Word value{.text = {}, .unknown = Unknown::variable};
    for (skip_lines(); !stop() && !end() && peek() != ')'; skip_lines()) {
        if (at_command_end() || at_redirection() || peek() == '(' || peek() == '[') {
            refuse("an array has an operator in it");
            return value;
        }
        const Word element = word(place);
        if (holds_substitution(element.text)) refuse("an array holds text that may be expanded later");
    }
    if (!stop() && !take(')')) refuse("an array is not closed");
    return value;
}

void ShellParser::redirection(SimpleCommand* found, std::size_t index, WordPlace& place) {
    state_.line.operators = true;
    Redirection made;
    const std::size_t digits = text_.find_first_not_of("0123456789", pos_) - pos_;
    if (digits > 4) return refuse("a descriptor's number is too long");
    if (digits > 0) made.descriptor = std::atoi(std::string(text_.substr(pos_, digits)).c_str());
    pos_ += digits;
    if (looking_at("<<<")) {
        if (dialect_ == Dialect::posix) return refuse("`<<<` means another thing in sh");
        made.kind = RedirectKind::here_string;
        pos_ += 3;
    } else if (looking_at("<<")) {
        const bool strip = peek(2) == '-';
        pos_ += strip ? 3 : 2;
        return here_document(found, index, made.descriptor, strip);
    } else if (looking_at("&>")) {
        if (dialect_ == Dialect::posix) return refuse("`&>` means another thing in sh");
        made.descriptor = -2;
        made.kind = RedirectKind::output;
        pos_ += looking_at("&>>") ? 3 : 2;
    } else if (looking_at("<&") || looking_at(">&")) {
        made.kind = RedirectKind::duplicate;
        pos_ += 2;
        // bash ends the operator behind `-`, other shells read on.
        if (peek() == '-' && pos_ + 1 < text_.size() &&
            !std::string_view(" \t\n;&|<>()").contains(text_[pos_ + 1]))
            return refuse("a word follows a closed descriptor");
    } else if (looking_at("<>") || looking_at(">|") || looking_at(">>")) {
        made.kind = looking_at(">>") ? RedirectKind::append : RedirectKind::output;
        pos_ += 2;
    } else {
        made.kind = peek() == '<' ? RedirectKind::input : RedirectKind::output;
        ++pos_;
    }
    skip_blanks();
    if (stop()) return;
    const bool process = (peek() == '<' || peek() == '>') && peek(1) == '(';
    if (end() || (!process && std::string_view("\n;&|<>()").contains(peek())))
        return refuse("a redirection has no target");
    made.target = word(place);
    if (found != nullptr) found->redirections.push_back(std::move(made));
}

void ShellParser::here_document(SimpleCommand* found, std::size_t index, int descriptor, bool strip) {
    skip_blanks();
    if (stop()) return;
    const char quote = peek();
    PendingHere here{
        .command = index, .redirection = 0, .delimiter = {}, .strip_tabs = strip, .expand = true};
    std::size_t until = pos_;
    if (quote == '\'' || quote == '"') {
        until = text_.find(quote, pos_ + 1);
        if (until == std::string_view::npos) return refuse("a quote is not closed");
        here.delimiter = text_.substr(pos_ + 1, until - pos_ - 1);
        here.expand = false;
        ++until;
    } else {
        if (quote == '\\') {
            here.expand = false;
            ++until;
        }
        const std::size_t from = until;
        while (until < text_.size() && plain_delimiter(text_.substr(until, 1))) ++until;
        here.delimiter = text_.substr(from, until - from);
    }
    const bool ended = until >= text_.size() || std::string_view(" \t\n;&|<>()").contains(text_[until]);
    if (!ended || !plain_delimiter(here.delimiter))
        return refuse("the delimiter of a here-document is not plain");
    pos_ = until;
    if (found == nullptr) {
        // The body feeds a compound command; whichever command in it reads it is not known.
        here.command = kMaxCommands;
    } else {
        here.redirection = found->redirections.size();
        found->redirections.push_back(
            {.descriptor = descriptor, .kind = RedirectKind::here_document, .target = {}});
    }
    pending_.push_back(std::move(here));
}

void ShellParser::read_here_documents() {
    const std::vector<PendingHere> waiting = std::move(pending_);
    pending_.clear();
    for (const PendingHere& here : waiting) {
        std::string body;
        bool joined = false;
        while (true) {
            if (end()) return refuse("a here-document has no end");
            const std::size_t stop_at = std::min(text_.find('\n', pos_), text_.size());
            std::string_view row = text_.substr(pos_, stop_at - pos_);
            pos_ = std::min(stop_at + 1, text_.size());
            if (here.strip_tabs) row.remove_prefix(std::min(row.find_first_not_of('\t'), row.size()));
            if (row == here.delimiter) {
                if (joined) return refuse("the delimiter of a here-document follows a continued line");
                break;
            }
            const std::size_t slashes = row.size() - (row.find_last_not_of('\\') + 1);
            joined = here.expand && slashes % 2 == 1;
            body.append(row).append("\n");
        }
        // The newline before the next command ends the delimiter's line.
        if (pos_ > 0 && text_[pos_ - 1] == '\n') --pos_;
        const bool last = &here == &waiting.back();
        if (!last) ++pos_;  // NOLINT(bugprone-branch-clone): cases of their own
        else if (!end() && peek() == '\n') ++pos_;
        WordPlace place;
        Word value = here_body(body, here.expand, place);
        if (stop()) return;
        if (here.command >= state_.line.commands.size()) continue;
        SimpleCommand& reader = state_.line.commands[here.command];
        reader.redirections[here.redirection].target = std::move(value);
        if (place.pipeline != 0) reader.stage = state_.add_stage(reader.stage, place.pipeline, 1);
    }
}

Word ShellParser::here_body(std::string_view body, bool expand, WordPlace& place) {
    Word value;
    if (!expand || body.find_first_of("$`\\") == std::string_view::npos) {
        value.text = body;
        return value;
    }
    // What its substitutions run feeds the command, like any of its words.
    ShellParser inner(state_, body, dialect_, stage_, origin_, parent_);
    inner.in_here_document_ = true;
    inner.double_quoted(value, place, /*here=*/true);
    return value;
}

}  // namespace substrate::policy
