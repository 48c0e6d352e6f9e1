#include "base/path_pattern.hpp"

#include <algorithm>
#include <bit>

#include "base/paths.hpp"

namespace substrate {
namespace {

constexpr char32_t kNotText = 0x110000;  // added to a byte that is no UTF-8

// The character at `at`, which moves behind it.
char32_t next_character(std::string_view text, std::size_t& at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    const auto as_byte = [&] {
        ++at;
        return lead < 0x80 ? char32_t{lead} : kNotText + lead;
    };
    if (length < 2 || at + length > text.size()) return as_byte();
    char32_t character = lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(at + i) & 0xc0u) != 0x80) return as_byte();
        character = character << 6 | (byte(at + i) & 0x3fu);
    }
    at += length;
    return character;
}

// The next component of `path` from `begin` on, which moves behind it; empty at the end.
std::string_view next_component(std::string_view path, std::size_t& begin) {
    while (begin < path.size() && path[begin] == '/') ++begin;
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view name = path.substr(begin, end - begin);
    begin = end;
    return name;
}

Error wrong(std::string_view pattern, std::string_view why) {
    return {Errc::invalid, "the pattern \"" + std::string(pattern) + "\" " + std::string(why)};
}

}  // namespace

bool has_glob(std::string_view text) { return text.find_first_of("*?[\\") != std::string_view::npos; }

std::string literal_pattern(std::string_view path) {
    std::string text;
    for (const char c : path) {
        if (has_glob({&c, 1})) text += '\\';
        text += c;
    }
    return text;
}

// From behind the `[` to behind the `]`. As in shells, a `]` that comes first is a member.
bool PathPatterns::read_set(std::string_view text, std::size_t& at, Token& token) {
    token.kind = Token::Kind::set;
    if (at < text.size() && (text[at] == '!' || text[at] == '^')) {
        token.negated = true;
        ++at;
    }
    const auto member = [&](char32_t& character) {
        if (text[at] == '\\') ++at;
        if (at == text.size()) return false;
        character = next_character(text, at);
        return true;
    };
    for (bool first = true; at < text.size(); first = false) {
        if (text[at] == ']' && !first) {
            ++at;
            return true;
        }
        Token::Range range{};
        if (!member(range.first)) return false;
        range.last = range.first;
        if (at + 1 < text.size() && text[at] == '-' && text[at + 1] != ']') {
            ++at;
            if (!member(range.last)) return false;
        }
        token.ranges.push_back(range);
    }
    return false;
}

Result<PathPatterns::Component> PathPatterns::read_component(std::string_view text) {
    Component component;
    component.any_depth = text == "**";
    if (component.any_depth) return component;
    const auto add = [&](Token::Kind kind) {
        component.tokens.push_back({.kind = kind, .text = {}, .ranges = {}});
    };
    for (std::size_t at = 0; at < text.size();) {
        const char c = text[at++];
        if (c == '*') {
            if (component.tokens.empty() || component.tokens.back().kind != Token::Kind::any_text)
                add(Token::Kind::any_text);
        } else if (c == '?') {
            add(Token::Kind::any_character);
        } else if (c == '[') {
            add(Token::Kind::set);
            if (!read_set(text, at, component.tokens.back()))
                return fail({Errc::invalid, "has a bracket that does not end"});
        } else {
            if (c == '\\' && at == text.size()) return fail({Errc::invalid, "ends in a backslash"});
            if (component.tokens.empty() || component.tokens.back().kind != Token::Kind::text)
                add(Token::Kind::text);
            component.tokens.back().text += c == '\\' ? text[at++] : c;
        }
    }
    return component;
}

Result<PathPatterns> PathPatterns::compile(const std::vector<std::string>& patterns) {
    PathPatterns compiled;
    for (const std::string& text : patterns) {
        if (!text.starts_with('/')) return fail(wrong(text, "is not absolute"));
        Pattern pattern;
        bool literal = true;
        std::size_t at = 0;
        for (std::string_view part = next_component(text, at); !part.empty();
             part = next_component(text, at)) {
            if (part == "." || part == "..") return fail(wrong(text, "has a component \".\" or \"..\""));
            auto component = read_component(part);
            if (!component) return fail(wrong(text, component.error().message()));
            literal =
                literal && component->tokens.size() == 1 && component->tokens[0].kind == Token::Kind::text;
            if (literal) {
                pattern.head += "/" + component->tokens[0].text;
                ++pattern.head_components;
            }
            // A second `**` in a row says nothing more.
            if (!component->any_depth || pattern.components.empty() || !pattern.components.back().any_depth)
                pattern.components.push_back(std::move(*component));
        }
        if (pattern.components.size() > kMostComponents) return fail(wrong(text, "has too many components"));
        compiled.patterns_.push_back(std::move(pattern));
    }
    return compiled;
}

bool PathPatterns::matches(const Token& token, std::string_view text, std::size_t& at) {
    if (token.kind == Token::Kind::text) {
        if (!text.substr(at).starts_with(token.text)) return false;
        at += token.text.size();
        return true;
    }
    if (at == text.size()) return false;
    const char32_t character = next_character(text, at);
    if (token.kind == Token::Kind::any_character) return true;
    const bool member = std::ranges::any_of(token.ranges, [&](const Token::Range& range) {
        return range.first <= character && character <= range.last;
    });
    return member != token.negated;
}

// What the last `*` takes grows until the rest fits: an earlier one need never take more.
bool PathPatterns::matches(const Component& component, std::string_view name) {
    const std::vector<Token>& tokens = component.tokens;
    if (tokens.empty()) return name.empty();
    const Token& last = tokens.back();
    if (last.kind == Token::Kind::text && !name.ends_with(last.text)) return false;
    std::size_t token = 0, at = 0;
    std::size_t star = tokens.size(), taken_to = 0;
    for (;;) {
        if (token < tokens.size() && tokens[token].kind == Token::Kind::any_text) {
            star = token++;
            taken_to = at;
            continue;
        }
        if (token == tokens.size() ? at == name.size() : matches(tokens[token], name, at)) {
            if (token++ == tokens.size()) return true;
            continue;
        }
        if (star == tokens.size() || taken_to >= name.size()) return false;
        next_character(name, taken_to);
        at = taken_to;
        token = star + 1;
    }
}

PathPatterns::States PathPatterns::closed(const Pattern& pattern, States states) {
    for (std::size_t i = 0; i < pattern.components.size(); ++i)
        if ((states >> i & 1) != 0 && pattern.components[i].any_depth) states |= States{1} << (i + 1);
    return states;
}

bool PathPatterns::is_named(const Pattern& pattern, States states) {
    return (states >> pattern.components.size() & 1) != 0;
}

PathPatterns::States PathPatterns::after(const Pattern& pattern, States states, std::string_view path) {
    std::size_t at = 0;
    for (std::string_view name = next_component(path, at); !name.empty() && states != 0;
         name = next_component(path, at)) {
        if (is_named(pattern, states)) return states;
        States next = 0;
        for (States left = states; left != 0; left &= left - 1) {
            const auto i = static_cast<std::size_t>(std::countr_zero(left));
            const Component& component = pattern.components[i];
            if (component.any_depth) next |= States{1} << i;
            else if (matches(component, name)) next |= States{1} << (i + 1);
        }
        states = closed(pattern, next);
    }
    return states;
}

bool PathPatterns::names(std::string_view path) const {
    return std::ranges::any_of(patterns_, [&](const Pattern& pattern) {
        // Most patterns of a project have the same head: it is compared as one text.
        if (!pattern.head.empty() && !is_within(path, pattern.head)) return false;
        const States behind = closed(pattern, States{1} << pattern.head_components);
        return is_named(pattern, after(pattern, behind, path.substr(pattern.head.size())));
    });
}

bool PathPatterns::leads_to(std::string_view path) const {
    return std::ranges::any_of(patterns_, [&](const Pattern& pattern) { return after(pattern, path) != 0; });
}

std::vector<std::string> PathPatterns::heads() const {
    std::vector<std::string> heads;
    for (const Pattern& pattern : patterns_) heads.push_back(pattern.head.empty() ? "/" : pattern.head);
    return heads;
}

bool PathPatterns::keeps_names(std::string_view from, std::string_view to) const {
    if (names(to)) return true;
    return std::ranges::all_of(
        patterns_, [&](const Pattern& pattern) { return (after(pattern, from) & ~after(pattern, to)) == 0; });
}

}  // namespace substrate
