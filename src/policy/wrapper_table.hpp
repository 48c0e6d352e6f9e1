#pragma once

#include <cstdint>
#include <string_view>

namespace substrate::policy {

// How a program is recognised that runs one of its arguments as a command.
enum class WrapperKind : std::uint8_t {
    none,
    plain,        // options, operands, then the command's words: WrapperRule says which
    environment,  // env
    shell,        // sh, bash and the like
    switch_user,  // su, runuser
    evaluate,     // eval
    trap,
    source,  // source and .
    alias,
    hash,
    callbacks,   // an option's value is a command: mapfile -C, tar --to-command=
    builtin,     // built-ins that evaluate subscripts or arithmetic in their words
    multi_call,  // busybox, toybox: the first argument is the program
    loader,      // the dynamic linker as a program
    xargs,
    find,
    fd,
    watch,
    git,
    opaque,          // runs something by rules we do not follow: any of its words may begin it
    opaque_by_verb,  // the same, after a verb such as run or exec
};

// Options as getopt(3) reads them. A long list is separated by spaces.
struct WrapperRule {
    std::string_view name;
    WrapperKind kind = WrapperKind::none;
    std::string_view flags;       // short options without a value
    std::string_view valued;      // short options with one
    std::string_view long_flags;  // without --
    std::string_view
        long_valued;           // their value may follow as a word; for callbacks: whose values are commands
    unsigned operands = 0;     // words before the command
    bool transparent = false;  // runs the command with the same rights and nothing else
    bool assignments = false;  // NAME=value may precede the command
    bool numbers = false;      // -10 is an option
    bool quiet_v = false;      // -v and -V only say what would run
    bool line_option = false;  // -c TEXT instead of words
};

// The rule for a program's base name; kind none where there is none.
const WrapperRule& wrapper_rule(std::string_view base);

// Shells by base name.
enum class ShellFamily : std::uint8_t { none, bash, posix, other };
ShellFamily shell_family(std::string_view base);

// True when `list`, words separated by spaces, has `word`.
bool listed(std::string_view list, std::string_view word);

}  // namespace substrate::policy
