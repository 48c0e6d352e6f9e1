#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace substrate {

// Which paths a list of patterns names. A pattern is an absolute path whose components may hold
// `*` (any characters, also a dot at the beginning), `?` (one character), `[a-z]`, `[!a-z]` and
// `\` before a character that means itself; `**` alone in a component is any number of components,
// also none. A path below one that is named is named too. Pure; names of files are bytes,
// of which those that are UTF-8 count as characters.
class PathPatterns {
  public:
    // Errc::invalid, with the pattern and the reason, for one that is not absolute, has "." or
    // "..", an open bracket, a `\` at its end or more than kMostComponents components.
    static Result<PathPatterns> compile(const std::vector<std::string>& patterns);

    bool empty() const { return patterns_.empty(); }
    // `path` is absolute and normalised.
    bool names(std::string_view path) const;
    // Whether something that is named may lie at `path` or below it.
    bool leads_to(std::string_view path) const;
    // The directory that all that a pattern names lies in or is, for each pattern: what it begins with
    // before the first component with a meaning of its own.
    std::vector<std::string> heads() const;
    // Whether everything below the directory `from` that is named is named still when that
    // directory has become `to`, whatever is in it.
    bool keeps_names(std::string_view from, std::string_view to) const;

    static constexpr std::size_t kMostComponents = 62;

  private:
    // One character, set of characters or run of bytes of a component.
    struct Token {
        enum class Kind : std::uint8_t { text, any_character, any_text, set };
        struct Range {
            char32_t first, last;
        };
        Kind kind = Kind::text;
        std::string text;
        std::vector<Range> ranges;
        bool negated = false;
    };
    struct Component {
        bool any_depth = false;  // `**`
        std::vector<Token> tokens;
    };
    struct Pattern {
        std::string head;  // the path that its components without globs begin with; "" for none
        std::size_t head_components = 0;
        std::vector<Component> components;
    };
    // Bit i: the next component of a path is compared with component i. The bit after the
    // last component: the pattern names the path.
    using States = std::uint64_t;

    static Result<Component> read_component(std::string_view text);
    static bool read_set(std::string_view text, std::size_t& at, Token& token);
    static bool matches(const Token& token, std::string_view text, std::size_t& at);
    static bool matches(const Component& component, std::string_view name);
    static States closed(const Pattern& pattern, States states);
    static States after(const Pattern& pattern, States states, std::string_view path);
    static States after(const Pattern& pattern, std::string_view path) {
        return after(pattern, closed(pattern, 1), path);
    }
    static bool is_named(const Pattern& pattern, States states);

    std::vector<Pattern> patterns_;
};

// The pattern that names `path` and what is below it, whatever characters the path has.
std::string literal_pattern(std::string_view path);
// True when `text` has a character that a pattern gives a meaning.
bool has_glob(std::string_view text);

}  // namespace substrate
