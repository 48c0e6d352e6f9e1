#pragma once

#include <vector>

#include "policy/shell_parser.hpp"
#include "policy/wrapper_table.hpp"

namespace substrate::policy {

// Finds the commands that commands run: looks through wrappers, reads texts
// that are shell again, and says which commands are not known in full.
class Expander {
  public:
    explicit Expander(ParseState& state) : state_(state) {}
    void run();

  private:
    using Words = std::vector<Word>;

    // expand.cpp
    void expand(std::uint32_t index);
    void judge(SimpleCommand& command) const;
    void environment_of(std::uint32_t index);
    void plain(std::uint32_t index, const WrapperRule& rule);
    void run_words(std::uint32_t index, Words words, Origin origin);
    void run_text(std::uint32_t index, const Word& text, Dialect dialect);
    void run_tolerant(std::uint32_t index, std::string_view text);
    void after_verb(std::uint32_t index);
    void speculate(std::uint32_t index, std::size_t from);
    void unresolved(std::uint32_t index, Unknown why);
    void odd_options(std::uint32_t index, std::size_t from);
    // The first word after the options of `rule`, or npos when one of them is
    // not understood. `seen` gets the letters and long names that were given.
    std::size_t skip_options(const Words& words, std::size_t from, const WrapperRule& rule,
                             std::string* seen) const;
    // References stay valid while commands are added: a deque does not move them.
    SimpleCommand& at(std::uint32_t index) { return state_.line.commands[index]; }

    // expand_shell.cpp
    void shell(std::uint32_t index);
    void shell_input(std::uint32_t index, Dialect dialect);
    void guess_input(std::uint32_t index);
    void environment(std::uint32_t index);
    void switch_user(std::uint32_t index);
    void evaluate(std::uint32_t index);
    void trap(std::uint32_t index);
    void source(std::uint32_t index);
    void alias(std::uint32_t index);
    void hash(std::uint32_t index);
    void builtin(std::uint32_t index);

    // expand_tool.cpp
    void callbacks(std::uint32_t index, const WrapperRule& rule);
    void loader(std::uint32_t index, const WrapperRule& rule);
    void xargs(std::uint32_t index, const WrapperRule& rule);
    void find(std::uint32_t index);
    void fd(std::uint32_t index);
    void watch(std::uint32_t index, const WrapperRule& rule);
    void git(std::uint32_t index);
    void git_setting(std::uint32_t index, const Word& setting);
    void git_verb(std::uint32_t index, std::size_t verb);

    ParseState& state_;
    std::size_t copied_words_ = 0;
    std::vector<std::uint8_t> depth_;  // how many wrappers stand around each command
};

// False when an argument vector of git is one command and nothing else: parse_arguments
// would find no other in it.
bool git_may_run_others(const std::vector<std::string>& argv);

}  // namespace substrate::policy
