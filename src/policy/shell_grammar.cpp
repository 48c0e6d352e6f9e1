#include <algorithm>
#include <array>

#include "policy/shell_check.hpp"
#include "policy/shell_parser.hpp"

// Lists, pipelines and compound commands: bash(1), "SHELL GRAMMAR", and POSIX.1
// XCU 2.10.2. Whatever is rare and could be read in two ways is refused.
namespace substrate::policy {
namespace {

constexpr std::array<std::string_view, 21> kReserved = {
    "!",   "[[",       "]]", "case", "coproc", "do",   "done",  "elif",  "else", "esac", "fi",
    "for", "function", "if", "in",   "select", "then", "until", "while", "{",    "}"};

bool is_reserved(std::string_view text) { return std::ranges::find(kReserved, text) != kReserved.end(); }

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

constexpr bool ends_word(char c) {
    return is_blank(c) || c == '\n' || std::string_view(";&|<>()").contains(c);
}

}  // namespace

// Counts constructs within constructs; refuses what is too deep for the stack.
class ShellParser::Deeper {
  public:
    explicit Deeper(ShellParser& parser) : parser_(parser) {
        if (++parser_.state_.nesting > kMaxNesting) parser_.state_.refuse_size("it is nested too deeply");
    }
    ~Deeper() { --parser_.state_.nesting; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

  private:
    ShellParser& parser_;
};

std::uint32_t ParseState::add_stage(std::uint32_t outer, std::uint32_t pipeline, std::uint32_t position) {
    line.stages.push_back({outer, pipeline, position});
    return static_cast<std::uint32_t>(line.stages.size() - 1);
}

void parse_nested(ParseState& state, std::string_view text, Dialect dialect, std::uint32_t stage,
                  Origin origin, std::uint32_t parent) {
    if (state.refused()) return;
    state.reparsed += text.size();
    if (state.reparsed > kMaxReparsed) return state.refuse_size("the texts nested in it are too long");
    ShellParser(state, text, dialect, stage, origin, parent).parse();
}

void ShellParser::parse() {
    const Deeper deeper(*this);
    // A NUL ends what bash reads of a line, a CR is part of a word for bash and
    // the end of a line for people: neither has one meaning.
    if (text_.contains('\0')) return state_.refuse_size("it contains a NUL byte");
    if (text_.contains('\r')) return refuse("it contains a carriage return");
    list({});
    if (stop()) return;
    if (!end()) return refuse("it does not end where a command ends");
    if (!pending_.empty()) return refuse("a here-document has no text");
    if (!structured_ && is_simple(text_)) return;
    const std::string_view why = check_by_grammar(text_, starts_);
    if (why == kTooSlow) state_.refuse_size(std::string(why));
    else if (!why.empty()) refuse(why);
}

// Commands up to one of the closing tokens: ")" or words, separated by spaces.
void ShellParser::list(std::string_view closing) {
    const Deeper deeper(*this);
    while (!stop()) {
        skip_lines();
        if (end()) return;
        if (peek() == ')' || (peek() == ';' && peek(1) == ';') || looking_at(";&")) return;
        const std::string_view word = keyword();
        if (!word.empty() && !closing.empty())
            for (std::size_t at = 0; at < closing.size();) {
                const std::size_t space = std::min(closing.find(' ', at), closing.size());
                if (closing.substr(at, space - at) == word) return;
                at = space + 1;
            }
        and_or();
        if (stop()) return;
        skip_blanks();
        if (end()) return;
        const char c = peek();
        if (c == ')' || looking_at(";;") || looking_at(";&")) return;
        if (c == ';' || c == '&') {
            ++pos_;
            state_.line.operators = true;
        } else if (c == '\n') {
            state_.line.operators = state_.line.operators || pos_ + 1 < text_.size();
        } else {
            return refuse("a word stands where a command should have ended");
        }
    }
}

void ShellParser::and_or() {
    pipeline();
    while (!stop()) {
        skip_blanks();
        if (!looking_at("&&") && !looking_at("||")) return;
        pos_ += 2;
        state_.line.operators = true;
        skip_lines();
        pipeline();
    }
}

void ShellParser::pipeline() {
    skip_blanks();
    while (keyword() == "!" || keyword() == "time") {
        const bool timed = keyword() == "time";
        structured_ = true;
        if (timed) record_start();
        pos_ += keyword().size();
        skip_blanks();
        if (timed && keyword() == "-p") {
            pos_ += 2;
            skip_blanks();
        }
        // `time` alone times nothing; with other options it may be the program.
        if (timed && (end() || peek() == '\n' || peek() == ';')) return;
        if (timed && peek() == '-') return refuse("the program `time` has options");
    }
    const std::uint32_t outer = stage_;
    const std::uint32_t number = ++state_.pipelines;
    for (std::uint32_t position = 1; !stop(); position += 1) {
        stage_ = state_.add_stage(outer, number, position);
        command();
        skip_blanks();
        if (stop() || peek() != '|' || peek(1) == '|') break;
        pos_ += peek(1) == '&' ? 2 : 1;
        if (dialect_ == Dialect::posix && text_[pos_ - 1] == '&') refuse("|& means another thing in sh");
        state_.line.operators = true;
        skip_lines();
    }
    stage_ = outer;
}

void ShellParser::command() {
    const Deeper deeper(*this);
    skip_blanks();
    if (stop()) return;
    if (end()) return refuse("a command is missing at its end");
    if (peek() == '(') {
        if (peek(1) == '(') arithmetic_command();
        else subshell();
        return trailing_redirections();
    }
    const std::string_view word = keyword();
    if (is_reserved(word)) {
        if (!compound(word)) refuse("the word `" + std::string(word) + "` stands where no such word may");
        return;
    }
    simple_command();
}

bool ShellParser::compound(std::string_view word) {
    state_.line.operators = structured_ = true;
    if (word == "{") group();
    else if (word == "if") if_clause();
    else if (word == "while" || word == "until") loop();
    else if (word == "for" || word == "select") for_clause(word == "select");
    else if (word == "case") case_clause();
    else if (word == "[[") test_keyword();
    else if (word == "function") {
        function_keyword();
        return true;
    } else return false;
    trailing_redirections();
    return true;
}

void ShellParser::subshell() {
    state_.line.operators = true;
    ++pos_;
    list({});
    if (!stop() && !take(')')) refuse("a parenthesis is not closed");
}

void ShellParser::group() {
    ++pos_;
    list("}");
    expect_keyword("}");
}

void ShellParser::if_clause() {
    pos_ += 2;
    list("then");
    expect_keyword("then");
    while (!stop()) {
        list("elif else fi");
        if (take_keyword("elif")) {
            list("then");
            expect_keyword("then");
        } else if (take_keyword("else")) {
            list("fi");
            return expect_keyword("fi");
        } else {
            return expect_keyword("fi");
        }
    }
}

void ShellParser::do_group() {
    expect_keyword("do");
    if (stop()) return;
    list("done");
    expect_keyword("done");
}

void ShellParser::loop() {
    pos_ += 5;
    list("do");
    do_group();
}

void ShellParser::for_clause(bool select) {
    pos_ += select ? 6 : 3;
    skip_blanks();
    if (looking_at("((")) {
        if (select || dialect_ == Dialect::posix) return refuse("`((` means another thing in sh");
        record_start();
        pos_ += 2;
        WordPlace place;
        const bool variables = arithmetic_text(place, /*semicolons=*/true);
        if (stop()) return;
        if (variables) {
            SimpleCommand pseudo{
                .words = {{.text = "(("}}, .stage = stage_, .unresolved = Unknown::arithmetic};
            finish_simple(std::move(pseudo), state_.line.commands.size(), place);
        }
        skip_blanks();
        if (!take(';')) newline();
        skip_lines();
        return do_group();
    }
    const std::string_view name = keyword();
    if (!is_name(name)) return refuse("`for` needs a variable's name");
    pos_ += name.size();
    skip_blanks();
    if (!take(';')) {
        skip_lines();
        if (take_keyword("in")) {
            WordPlace place{.pipeline = 0};
            for (skip_blanks(); !stop() && !at_command_end(); skip_blanks()) {
                if (peek() == '(' || ((peek() == '<' || peek() == '>') && peek(1) != '('))
                    return refuse("`for` has an operator among its words");
                word(place);
            }
            if (!stop() && !take(';') && peek() != '\n') return refuse("the words of `for` have no end");
        }
    }
    skip_lines();
    do_group();
}

void ShellParser::case_clause() {
    pos_ += 4;
    skip_blanks();
    WordPlace place;
    if (at_command_end()) return refuse("`case` needs a word");
    word(place);
    skip_lines();
    expect_keyword("in");
    while (!stop()) {
        skip_lines();
        if (take_keyword("esac")) return;
        if (end()) return refuse("`case` is not closed");
        case_item();
    }
}

void ShellParser::case_item() {
    take('(');
    WordPlace place;
    do {
        skip_blanks();
        if (end() || ends_word(peek())) return refuse("a pattern of `case` is missing");
        word(place);
        skip_blanks();
    } while (!stop() && take('|'));
    if (stop()) return;
    if (!take(')')) return refuse("a pattern of `case` is not closed");
    list("esac");
    if (stop()) return;
    if (looking_at(";;&")) pos_ += 3;
    else if (looking_at(";;") || looking_at(";&")) pos_ += 2;
    else if (keyword() != "esac") refuse("`case` is not closed");
}

void ShellParser::function_keyword() {
    if (dialect_ == Dialect::posix) return refuse("`function` means another thing in sh");
    pos_ += 8;
    skip_blanks();
    const std::string_view name = keyword();
    if (name.empty()) return refuse("`function` needs a plain name");
    pos_ += name.size();
    skip_blanks();
    if (take('(')) {
        skip_blanks();
        if (!take(')')) return refuse("`function` has something between its parentheses");
    }
    function_body();
}

void ShellParser::function_body() {
    state_.line.operators = true;
    skip_lines();
    const std::string_view word = keyword();
    const bool brace = word == "{" || word == "if" || word == "while" || word == "until" || word == "for" ||
                       word == "case" || word == "select";
    if (!brace && (peek() != '(' || peek(1) == '(')) return refuse("a function has no plain body");
    command();
}

void ShellParser::trailing_redirections() {
    WordPlace place;
    for (skip_blanks(); !stop() && at_redirection(); skip_blanks()) redirection(nullptr, 0, place);
}

// `((…))`. A shell without it runs two subshells instead: only numbers and
// operators mean nothing there.
void ShellParser::arithmetic_command() {
    record_start();
    state_.line.operators = true;
    if (dialect_ == Dialect::posix) return refuse("`((` means another thing in sh");
    pos_ += 2;
    WordPlace place;
    const bool variables = arithmetic_text(place, /*semicolons=*/false);
    if (stop() || !variables) return;
    SimpleCommand pseudo{.words = {{.text = "(("}}, .stage = stage_, .unresolved = Unknown::arithmetic};
    finish_simple(std::move(pseudo), state_.line.commands.size(), place);
}

// `[[ … ]]` runs nothing by itself, but evaluates arithmetic and subscripts.
void ShellParser::test_keyword() {
    if (dialect_ == Dialect::posix) return refuse("`[[` means another thing in sh");
    record_start();
    pos_ += 2;
    SimpleCommand test{.words = {{.text = "[["}}, .stage = stage_};
    std::string previous;
    for (skip_lines(); !stop(); skip_lines()) {
        if (end()) return refuse("`[[` is not closed");
        if (take_keyword("]]")) break;
        const char c = peek();
        if (looking_at("&&") || looking_at("||")) pos_ += 2;
        else if (c == '(' || c == ')') ++pos_;  // NOLINT(bugprone-branch-clone): cases of their own
        else if ((c == '<' || c == '>') && peek(1) != '(' && peek(1) != c) ++pos_;
        else if (ends_word(c) && !((c == '<' || c == '>') && peek(1) == '('))
            return refuse("`[[` has an operator in it");
        else {
            const std::size_t before = pos_;
            test_operand(previous, test);
            previous = text_.substr(before, pos_ - before);
            continue;
        }
        previous.clear();
    }
    if (test.unresolved == Unknown::none) return;
    finish_simple(std::move(test), state_.line.commands.size(), {});
}

void ShellParser::test_operand(std::string_view previous, SimpleCommand& test) {
    if (previous == "=~") return regex_operand();
    WordPlace place;
    const std::size_t before = pos_;
    const Word operand = word(place);
    if (stop()) return;
    const std::string_view raw = text_.substr(before, pos_ - before);
    constexpr std::array<std::string_view, 6> kNumeric = {"-eq", "-ne", "-lt", "-le", "-gt", "-ge"};
    // Both sides of these are evaluated, and values of variables may hold commands.
    if (std::ranges::find(kNumeric, raw) != kNumeric.end() || raw == "-v" || raw == "-R")
        test.unresolved = Unknown::arithmetic;
    if (operand.text.contains("$(") || operand.text.contains('`')) test.unresolved = Unknown::stored_code;
}

void ShellParser::regex_operand() {
    WordPlace place;
    Word ignored;
    while (!stop() && !end() && !is_blank(peek()) && peek() != '\n') {
        const char c = peek();
        if (c == '\'') single_quoted(ignored);
        else if (c == '"') double_quoted(ignored, place);
        else if (c == '$') dollar(ignored, place, /*quoted=*/false);
        else if (c == '`') backquoted(ignored, place, /*quoted=*/false);
        else if (c == ';' || c == '&' || c == '<' || c == '>')
            refuse("a regular expression has an operator in it");
        else pos_ += c == '\\' ? 2 : 1;
    }
    pos_ = std::min(pos_, text_.size());
}

bool ShellParser::take(char c) {
    if (end() || peek() != c) return false;
    ++pos_;
    return true;
}

void ShellParser::skip_blanks() {
    while (!end()) {
        if (is_blank(peek())) {
            ++pos_;
        } else if (peek() == '\\' && peek(1) == '\n' && pos_ + 1 < text_.size()) {
            // Only between words: inside one, word() joins the halves.
            if (!pending_.empty()) return refuse("a line with a here-document is continued");
            pos_ += 2;
        } else if (peek() == '#' && (pos_ == 0 || ends_word(text_[pos_ - 1]))) {
            while (!end() && peek() != '\n') ++pos_;
        } else {
            return;
        }
    }
}

bool ShellParser::newline() {
    if (end() || peek() != '\n') return false;
    ++pos_;
    if (!pending_.empty()) read_here_documents();
    return true;
}

void ShellParser::skip_lines() {
    do skip_blanks();
    while (!stop() && newline());
}

std::string_view ShellParser::keyword() const {
    std::size_t at = pos_;
    while (at < text_.size() && !ends_word(text_[at])) {
        if (std::string_view("\\'\"$`").contains(text_[at])) return {};
        ++at;
    }
    return text_.substr(pos_, at - pos_);
}

bool ShellParser::take_keyword(std::string_view wanted) {
    if (keyword() != wanted) return false;
    pos_ += wanted.size();
    return true;
}

void ShellParser::expect_keyword(std::string_view wanted) {
    if (stop()) return;
    skip_lines();
    if (!take_keyword(wanted)) refuse("`" + std::string(wanted) + "` is missing");
}

void ShellParser::refuse(std::string_view why) {
    state_.refuse(std::string(why) + " (at byte " + std::to_string(std::min(pos_, text_.size())) + ")");
}

std::uint32_t ShellParser::pipeline_of(WordPlace& place) {
    if (place.pipeline == 0) place.pipeline = ++state_.pipelines;
    return place.pipeline;
}

}  // namespace substrate::policy
