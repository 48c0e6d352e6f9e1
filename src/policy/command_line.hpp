#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

// What a command line would execute, as far as reading it can tell.
namespace substrate::policy {

// Why the value of a word, and so the command it belongs to, cannot be known.
enum class Unknown : std::uint8_t {
    none,
    variable,              // $X, ${X…}, positional and special parameters
    command_substitution,  // $(…), `…`
    process_substitution,  // <(…) or >(…) where a program or a script is named
    arithmetic,            // $((…)), or arithmetic over variables, whose values may hold commands
    braces,                // {a,b}, {1..3}
    home,                  // ~user, or ~ where HOME is not known
    file_names,            // * ? […] where the names found decide what runs
    translation,           // $"…"
    alias_name,            // a name that the line itself makes an alias
    standard_input,        // a shell that reads its commands from a pipe or a descriptor
    appended,              // words that xargs, find or parallel add when they run
    wrapper_options,       // an option of a wrapper that we do not know
    other_shell,           // a language that is read by its own rules: zsh, fish, csh
    environment,           // an assignment that changes what programs do: LD_PRELOAD, BASH_ENV
    look_alike,            // a program name with characters outside printable ASCII
    stored_code,           // text with a substitution in it where a shell may expand it later
    too_many,              // more of something than is looked at one by one
};
// "a variable", "a command substitution", …
std::string_view to_string(Unknown unknown);

// One word after quote removal and those expansions that need no running.
struct Word {
    std::string text;                 // bytes; without what is not known
    Unknown unknown = Unknown::none;  // not none: `text` is only part of the value
    bool glob = false;                // unquoted * ? or […]: expands to names that are found
    bool process = false;             // <(…) or >(…): text is a stand-in under /dev/fd
    bool known() const { return unknown == Unknown::none; }
    bool exact() const { return known() && !glob; }  // exactly this one argument
    bool operator==(const Word&) const = default;
};

struct Assignment {
    std::string name;
    Word value;
    bool operator==(const Assignment&) const = default;
};

enum class RedirectKind : std::uint8_t { input, output, append, duplicate, here_document, here_string };

struct Redirection {
    int descriptor = -1;  // -1: the operator's own; -2: both outputs
    RedirectKind kind = RedirectKind::input;
    Word target;  // for here_document and here_string the text itself
    bool operator==(const Redirection&) const = default;
};

// Commands whose output feeds others: a stage of a pipeline, or a substitution
// whose output is another command's word. Kept as a tree of lists to its root.
struct Stage {
    std::uint32_t outer = 0;     // index of the enclosing stage; 0 is the root
    std::uint32_t pipeline = 0;  // number of the pipeline
    std::uint32_t position = 0;  // lower ones feed higher ones
    bool operator==(const Stage&) const = default;
};

// Which rules a text is read by. POSIX stands for any sh: what bash and other
// shells read differently is refused there.
enum class Dialect : std::uint8_t { bash, posix };

// How a command was found.
enum class Origin : std::uint8_t {
    line,         // stands in the text that was parsed
    wrapped,      // an argument of another command, which runs it: sudo, env, find -exec
    nested,       // from a text that another command runs as shell: sh -c, eval, trap
    speculative,  // may be run by an option or a tool whose rules we do not follow: for denials only
};

inline constexpr std::uint32_t kNoParent = 0xffffffff;

struct SimpleCommand {
    std::vector<Assignment> assignments;
    std::vector<Word> words;  // the program first; empty for bare assignments or redirections
    std::vector<Redirection> redirections;
    Origin origin = Origin::line;
    std::uint32_t parent = kNoParent;  // index of the command that runs this one
    std::uint32_t stage = 0;           // index into ParsedLine::stages
    Dialect dialect = Dialect::bash;   // of the shell that runs it
    // It only runs what it wraps and changes no rights: an allowlist need not name it.
    bool transparent = false;
    // What it does is not known in full, though no word need be unknown.
    Unknown unresolved = Unknown::none;
    bool operator==(const SimpleCommand&) const = default;
};

struct ParsedLine {
    std::deque<SimpleCommand> commands;  // every command that may run, in order of appearance
    std::vector<Stage> stages{Stage{}};  // [0] is the root and no pipeline
    // Not empty: the line was not understood as a whole, and this says why and
    // where. `commands` then holds what was found before, for messages only.
    std::string refused;
    bool over_limit = false;  // refused for its size or depth: nothing may run it
    bool operators =
        false;  // more than one simple command: ; & | && || newline, groups, substitutions, redirections
    bool ok() const { return refused.empty(); }
};

inline constexpr std::size_t kMaxLine = 1u << 20;      // bytes
inline constexpr std::size_t kMaxCommands = 20'000;    // in one line, with all that is nested
inline constexpr std::size_t kMaxReparsed = 8u << 20;  // bytes of nested texts, all together
inline constexpr unsigned kMaxNesting = 64;

struct ParseOptions {
    Dialect dialect = Dialect::bash;
    std::string_view home;  // what ~ means; empty: not known
};

// Reads `line` as a shell would and lists the commands. Pure; never fails
// otherwise than through ParsedLine::refused. A line over a limit, with a NUL or
// a carriage return, with a syntax error, or that our reader and the tree-sitter
// grammar for bash do not read alike, is refused as a whole.
ParsedLine parse_command_line(std::string_view line, const ParseOptions& options = {});

// The same for an argument vector that will be executed as it is: wrappers are
// looked through, nothing is expanded at the top.
ParsedLine parse_arguments(const std::vector<std::string>& argv, const ParseOptions& options = {});

// True when output of command `from` may reach command `to` by pipes or substitutions.
bool feeds(const ParsedLine& line, const SimpleCommand& from, const SimpleCommand& to);

// The part after the last slash.
std::string_view base_name(std::string_view path);

}  // namespace substrate::policy
