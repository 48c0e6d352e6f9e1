#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/command_line.hpp"

// The one form that commands and patterns are compared in: program by its base
// name, short options as a set, long ones by their short equivalents where a tool
// is known, `--` dropped, operands in order.
namespace substrate::policy {

// A set of short options: ASCII letters, digits and signs.
struct LetterSet {
    std::array<std::uint64_t, 2> bits{};
    void add(char c) {
        if (const auto byte = static_cast<unsigned char>(c); byte < 128)
            bits[byte / 64] |= 1ull << (byte % 64);
    }
    bool has(char c) const {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 128 && (bits[byte / 64] >> (byte % 64) & 1) != 0;
    }
    bool contains(const LetterSet& other) const {
        return (other.bits[0] & ~bits[0]) == 0 && (other.bits[1] & ~bits[1]) == 0;
    }
    bool empty() const { return bits[0] == 0 && bits[1] == 0; }
    bool operator==(const LetterSet&) const = default;
};

struct Operand {
    std::string text;
    std::vector<std::string> readings;  // other texts that mean the same: normalised paths, file modes
    bool known = true;
    bool glob = false;
};

// How a tool's words are read; the default for tools that are not known.
struct ToolForm {
    std::string_view names;         // separated by spaces
    std::string_view equivalents;   // "long=s …": long option and its letter
    std::string_view letters;       // "Rr …": the first letter means the second
    std::string_view valued;        // short options that take a value
    std::string_view valued_longs;  // long options that take the next word
    bool files = false;             // operands are files, in any order
    bool mode_first = false;        // the first operand is a file mode
    bool dash_words = false;        // options are words after one dash
};
const ToolForm& tool_form(std::string_view base);

struct LongOption {
    std::string text;       // "--name" or "--name=value"; "-word" of tools with such options
    bool lettered = false;  // has a letter too, which is in the set
};

struct NormalCommand {
    std::string program;  // as written
    std::string base;     // after the last slash
    bool shell = false;   // a shell of any kind
    bool known = true;    // the program's name is known
    LetterSet letters;
    std::vector<LongOption> longs;
    std::vector<Operand> operands;
    const ToolForm* tool = &tool_form({});
    bool loose_options = false;  // a word whose names may turn out to be options
    bool any_unknown = false;
};

// Where a relative operand may lead. All absolute and normalised.
struct NormalContext {
    std::vector<std::string> directories;
};

NormalCommand normal_form(const SimpleCommand& command, const NormalContext& context);

// The same for words that are a pattern: nothing is read as a path.
struct NormalPattern {
    std::string program;
    LetterSet letters;
    std::vector<std::string> longs;
    std::vector<std::string> operands;  // globs; "*" alone stands for any number of words
    bool any_words = false;             // has a "*" alone
};
NormalPattern normal_pattern(const std::vector<std::string>& words);

// Collapses //, /./, /../ and a trailing slash. Lexical.
std::string normal_path(std::string_view path);

}  // namespace substrate::policy
