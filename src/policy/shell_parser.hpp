#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "policy/command_line.hpp"

namespace substrate::policy {

// What the parsers of one line and of the texts nested in it share.
struct ParseState {
    ParsedLine line;
    ParseOptions options;
    std::size_t reparsed = 0;  // bytes of nested texts so far
    unsigned nesting = 0;      // texts within texts, and constructs within constructs
    std::uint32_t pipelines = 0;
    std::vector<std::string> aliases;  // names that the line makes aliases
    bool every_name_alias = false;     // an alias of unknown name
    bool home_assigned = false;

    bool refused() const { return !line.refused.empty(); }
    void refuse(std::string why) {
        if (line.refused.empty()) line.refused = std::move(why);
    }
    void refuse_size(std::string why) {
        line.over_limit = line.over_limit || line.refused.empty();
        refuse(std::move(why));
    }
    std::uint32_t add_stage(std::uint32_t outer, std::uint32_t pipeline, std::uint32_t position);
};

// Reads one text: the line itself, or one that a command runs as shell. Appends
// its commands to `state`. `stage` is where the text's output goes, `parent` the
// command that runs it. Strict: what is not plainly understood refuses the line.
class ShellParser {
  public:
    ShellParser(ParseState& state, std::string_view text, Dialect dialect, std::uint32_t stage, Origin origin,
                std::uint32_t parent)
        : state_(state), text_(text), dialect_(dialect), stage_(stage), origin_(origin), parent_(parent) {}

    void parse();

  private:
    struct PendingHere {
        std::size_t command;  // index into line.commands, or kNoCommand for a compound
        std::size_t redirection;
        std::string delimiter;
        bool strip_tabs;
        bool expand;
    };
    // Where a word stands decides what it may expand to.
    struct WordPlace {
        std::uint32_t pipeline = 0;  // of the substitutions in it; 0: none yet
    };
    class Deeper;

    // shell_grammar.cpp: from lists down to simple commands
    void list(std::string_view closing);
    void and_or();
    void pipeline();
    void command();
    bool compound(std::string_view keyword);
    void subshell();
    void group();
    void if_clause();
    void loop();
    void for_clause(bool select);
    void case_clause();
    void case_item();
    void do_group();
    void function_keyword();
    void function_body();
    void trailing_redirections();
    void arithmetic_command();
    void test_keyword();
    void test_operand(std::string_view previous, SimpleCommand& test);
    void regex_operand();

    // shell_simple.cpp: words, assignments, redirections, here-documents
    void simple_command();
    bool at_command_end() const;
    bool assignment(SimpleCommand& found, WordPlace& place);
    Word array(WordPlace& place);
    bool at_redirection() const;
    void redirection(SimpleCommand* found, std::size_t index, WordPlace& place);
    void here_document(SimpleCommand* found, std::size_t index, int descriptor, bool strip);
    void read_here_documents();
    Word here_body(std::string_view body, bool expand, WordPlace& place);
    void finish_simple(SimpleCommand found, std::size_t index, const WordPlace& place);

    // shell_word.cpp: quoting and expansion
    Word word(WordPlace& place);
    void single_quoted(Word& out);
    void double_quoted(Word& out, WordPlace& place, bool here = false);
    void dollar(Word& out, WordPlace& place, bool quoted);
    void ansi_quoted(Word& out);
    void parameter(Word& out, WordPlace& place, bool quoted);
    void arithmetic_expansion(Word& out, WordPlace& place);
    // Up to the `)` that closes arithmetic; true when variables occur in it.
    bool arithmetic_text(WordPlace& place, bool semicolons);
    void backquoted(Word& out, WordPlace& place, bool quoted);
    void substitution(Word& out, WordPlace& place, std::uint32_t position);
    void tilde(Word& out);

    // lexical helpers
    bool end() const { return pos_ >= text_.size(); }
    char peek(std::size_t ahead = 0) const {
        return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
    }
    bool looking_at(std::string_view token) const { return text_.substr(pos_).starts_with(token); }
    bool take(char c);
    void skip_blanks();
    void skip_lines();  // blanks, comments and newlines
    bool newline();
    std::string_view keyword() const;  // the plain word here, empty if there is none
    bool take_keyword(std::string_view wanted);
    void expect_keyword(std::string_view wanted);
    void refuse(std::string_view why);
    bool stop() const { return state_.refused(); }
    std::uint32_t pipeline_of(WordPlace& place);
    void record_start() { starts_.push_back(static_cast<std::uint32_t>(pos_)); }
    void set_unknown(Word& word, Unknown why) const {
        if (word.unknown == Unknown::none) word.unknown = why;
    }

    ParseState& state_;
    std::string_view text_;
    Dialect dialect_;
    std::uint32_t stage_;
    Origin origin_;
    std::uint32_t parent_;
    std::size_t pos_ = 0;
    bool in_here_document_ = false;
    bool structured_ = false;  // has keywords, groups, functions or redirections
    std::vector<PendingHere> pending_;
    std::vector<std::uint32_t> starts_;  // where commands begin, for the second reading
};

// Reads `text` as shell, as part of `state`.
void parse_nested(ParseState& state, std::string_view text, Dialect dialect, std::uint32_t stage,
                  Origin origin, std::uint32_t parent);

// True for a name that a shell can assign.
bool is_name(std::string_view text);

}  // namespace substrate::policy
