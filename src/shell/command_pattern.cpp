#include "shell/command_pattern.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "base/text.hpp"
#include "policy/compiled_policy.hpp"
#include "policy/normal_form.hpp"
#include "policy/wrapper_table.hpp"
#include "shell/recorded_command.hpp"

namespace substrate::shell {
namespace {

using policy::NormalCommand;
using policy::SimpleCommand;
using policy::WrapperKind;

constexpr std::size_t kAlike = 3;  // so many make one pattern
constexpr std::string_view kGlobs = "*?[\\";

// Their first operand is a file or a text like every other, never a verb.
constexpr std::string_view kPlainTools =
    "echo printf cat ls touch mkdir rmdir rm cp mv ln head tail wc grep egrep fgrep rg sort uniq cut tr diff "
    "cmp "
    "file stat test [ cd pushd sleep basename dirname readlink realpath which type gcc g++ cc c++ clang "
    "clang++ ld "
    "ar tar gzip gunzip zip unzip chmod chown tee seq date du df kill export unset read";

// What they get may be code.
constexpr std::string_view kInterpreters =
    "python python2 python3 node nodejs deno bun perl ruby php lua luajit awk gawk mawk nawk sed tclsh wish "
    "guile "
    "Rscript osascript gdb ed ex vi vim emacs sqlite3 psql mysql jq make";

struct Slot {
    std::string text;
    bool any = false;  // not known: any words
    bool operator<(const Slot& other) const { return std::tie(text, any) < std::tie(other.text, other.any); }
};

// One command, taken apart: what makes its shape, and the values of its words.
struct Shape {
    std::string program, verb, letters;
    std::vector<std::string> names;  // of long options, with their "="
    std::vector<Slot> values;        // of the long options, then the operands
    bool letters_fit = true;         // a pattern can say them
    bool may_merge = true;

    std::string key() const {
        std::string made = may_merge ? "m" : "s";
        for (const std::string* part : {&program, &verb, &letters}) made += '\0' + *part;
        for (const std::string& name : names) made += '\0' + name;
        return made + '\0' + std::to_string(values.size());
    }
};

bool is_verb(std::string_view text) {
    return !text.empty() && text[0] >= 'a' && text[0] <= 'z' && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

bool runs_what_it_gets(std::string_view base) {
    switch (policy::wrapper_rule(base).kind) {
        case WrapperKind::none:
        case WrapperKind::callbacks:
        case WrapperKind::builtin:
        case WrapperKind::find:
        case WrapperKind::git:
        case WrapperKind::opaque_by_verb: return policy::listed(kInterpreters, base);
        default: return true;
    }
}

std::string letters_of(const NormalCommand& normal) {
    std::string letters;
    for (int c = 33; c < 127; ++c)
        if (c != '-' && normal.letters.has(static_cast<char>(c))) letters += static_cast<char>(c);
    // At the front it would begin a long option.
    if (normal.letters.has('-')) letters += '-';
    return letters;
}

std::optional<Shape> shape_of(const SimpleCommand& command) {
    if (command.words.empty() || !command.words[0].exact() || command.words[0].text.empty())
        return std::nullopt;
    const NormalCommand normal = policy::normal_form(command, {});
    Shape shape{.program = normal.program, .verb = {}, .letters = letters_of(normal)};
    shape.letters_fit = shape.letters.find_first_of(kGlobs) == std::string::npos;
    shape.may_merge = !runs_what_it_gets(normal.base);
    for (const policy::LongOption& option : normal.longs) {
        if (option.lettered) continue;
        const std::size_t equals = normal.tool->dash_words ? std::string::npos : option.text.find('=');
        if (equals == std::string::npos) {
            shape.names.push_back(option.text);
        } else {
            shape.names.push_back(option.text.substr(0, equals + 1));
            shape.values.push_back({option.text.substr(equals + 1)});
        }
    }
    auto operands = normal.operands.begin();
    const bool first = operands != normal.operands.end() && operands->known && !operands->glob &&
                       command.words[1].exact() && command.words[1].text == operands->text;
    if (first && is_verb(operands->text) && !policy::listed(kPlainTools, normal.base)) {
        shape.verb = operands->text;
        ++operands;
    }
    for (; operands != normal.operands.end(); ++operands)
        shape.values.push_back({operands->text, !operands->known || operands->glob});
    return shape;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) (text += text.empty() ? "" : " ") += word;
    return text;
}

// The secret's place in a word becomes a glob.
std::string value_word(std::string_view text) {
    std::string made;
    for (std::size_t at = text.find(kTakenOut); at != std::string_view::npos; at = text.find(kTakenOut)) {
        if (at > 0) made += pattern_word(text.substr(0, at));
        made += at == 0 && text.size() == kTakenOut.size() ? "?*" : "*";
        text.remove_prefix(at + kTakenOut.size());
        if (text.empty()) return made;
    }
    return made + pattern_word(text);
}

std::string operand_word(const Slot& slot) {
    if (slot.any) return "*";
    // Where it begins with a dash the pattern would take it for an option.
    if (slot.text.starts_with('-'))
        return "[-]" + (slot.text.size() > 1 ? value_word(slot.text.substr(1)) : "");
    return value_word(slot.text);
}

// What all of `texts` begin and end with, as far as it ends at a border within a word.
std::string merged_word(const std::set<std::string>& texts) {
    const std::string& one = *texts.begin();
    std::size_t head = one.size(), tail = one.size(), shortest = one.size();
    for (const std::string& text : texts) {
        shortest = std::min(shortest, text.size());
        head = std::min<std::size_t>(head, std::ranges::mismatch(one, text).in1 - one.begin());
        std::size_t same = 0;
        while (same < std::min(one.size(), text.size()) &&
               one[one.size() - 1 - same] == text[text.size() - 1 - same])
            ++same;
        tail = std::min(tail, same);
    }
    constexpr std::string_view kBorders = "/=:@.,_-";
    while (head > 0 && !kBorders.contains(one[head - 1])) --head;
    tail = std::min(tail, shortest - head);
    while (tail > 0 && !kBorders.contains(one[one.size() - tail])) --tail;
    if (head == 0 && tail == 0) return "?*";
    std::string made;
    if (head > 0) made = operand_word({one.substr(0, head)});
    made += "*";
    return tail > 0 ? made + pattern_word(std::string_view(one).substr(one.size() - tail)) : made;
}

// The pattern's text from a shape whose values are words of patterns already.
std::string written(const Shape& shape, const std::vector<std::string>& values) {
    std::vector<std::string> words = {pattern_word(shape.program)};
    if (!shape.verb.empty()) words.push_back(shape.verb);
    if (!shape.letters.empty() && shape.letters_fit) words.push_back(pattern_word("-" + shape.letters));
    std::size_t next = 0;
    for (const std::string& name : shape.names)
        words.push_back(name.ends_with('=') && next < values.size() ? pattern_word(name) + values[next++]
                                                                    : pattern_word(name));
    words.insert(words.end(), values.begin() + static_cast<std::ptrdiff_t>(next), values.end());
    return joined(words);
}

std::size_t option_values(const Shape& shape) {
    return static_cast<std::size_t>(
        std::ranges::count_if(shape.names, [](const std::string& name) { return name.ends_with('='); }));
}

std::vector<std::string> value_words(const Shape& shape) {
    std::vector<std::string> words;
    const std::size_t options = option_values(shape);
    for (std::size_t i = 0; i < shape.values.size(); ++i)
        words.push_back(i < options ? value_word(shape.values[i].text) : operand_word(shape.values[i]));
    return words;
}

// From the narrowest on.
std::vector<std::string> candidates(const SimpleCommand& command, const Shape& shape) {
    std::vector<std::string> made, words;
    const bool plain = std::ranges::all_of(command.words, [](const policy::Word& word) {
        return word.exact() && !word.text.contains(kTakenOut);
    });
    for (const policy::Word& word : command.words) words.push_back(pattern_word(word.text));
    if (plain) made.push_back(joined(words));
    if (shape.letters_fit) made.push_back(written(shape, value_words(shape)));
    const std::string start = pattern_word(shape.program) + (shape.verb.empty() ? "" : " " + shape.verb);
    made.push_back(start + " *");
    return made;
}

struct Group {
    std::vector<std::size_t> members;  // indices of commands
    std::set<std::vector<Slot>> distinct;
};

// One pattern for all of a group, or nothing.
std::optional<std::string> merged(const Group& group, const std::vector<SimpleCommand>& commands,
                                  const std::vector<std::optional<Shape>>& shapes) {
    const Shape& shape = *shapes[group.members.front()];
    if (!shape.may_merge || !shape.letters_fit || group.distinct.size() < kAlike) return std::nullopt;
    std::vector<std::string> values = value_words(shape);
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::set<std::string> texts;
        bool any = false;
        for (const std::vector<Slot>& one : group.distinct) {
            texts.insert(one[i].text);
            any |= one[i].any;
        }
        if (any) values[i] = "*";
        else if (texts.size() > 1) values[i] = merged_word(texts);
    }
    std::string pattern = written(shape, values);
    for (const std::size_t member : group.members)
        if (!pattern_allows(pattern, commands[member])) return std::nullopt;
    return pattern;
}

}  // namespace

std::string pattern_word(std::string_view text) {
    constexpr std::string_view kPlain = "_@%+=:,./-^~";
    const auto plain = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               kPlain.contains(c);
    };
    if (text.empty()) return "''";
    if (std::ranges::all_of(text, plain)) return std::string(text);
    const bool utf8 = is_utf8(text);
    if (utf8)
        for (const char quote : {'\'', '"'})
            if (!text.contains(quote)) return quote + std::string(text) + quote;
    std::string made;
    for (const char c : text) {
        // What is not ASCII may be part of a character or no character at all.
        if (static_cast<unsigned char>(c) >= 128) made += utf8 ? c : '?';
        else if (plain(c)) made += c;
        else (made += '\\') += c;
    }
    return made;
}

bool pattern_allows(const std::string& pattern, const SimpleCommand& command) {
    Policy policy{.id = "pattern"};
    policy.commands.allowed = {pattern};
    const auto bytes = policy::compile_policy(policy, {});
    if (!bytes) return false;
    const auto compiled = policy::CompiledPolicy::open(*bytes);
    if (!compiled) return false;
    std::vector<policy::CompiledPolicy::Hit> hits;
    compiled->match(policy::normal_form(command, {}), /*only_denied=*/false, hits);
    return !hits.empty();
}

AllowPatterns allow_patterns(const std::vector<SimpleCommand>& commands) {
    std::vector<std::optional<Shape>> shapes;
    std::map<std::string, Group> groups;
    std::vector<std::string> order;
    AllowPatterns made;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        shapes.push_back(shape_of(commands[i]));
        if (!shapes[i]) {
            made.without.push_back(i);
            continue;
        }
        const std::string key = shapes[i]->key();
        const auto [group, first] = groups.try_emplace(key);
        if (first) order.push_back(key);
        // Equal commands are looked at once.
        if (group->second.distinct.insert(shapes[i]->values).second) group->second.members.push_back(i);
    }
    std::set<std::string> seen;
    const auto add = [&](const std::string& pattern) {
        if (seen.insert(pattern).second) made.patterns.push_back(pattern);
    };
    for (const std::string& key : order) {
        const Group& group = groups.at(key);
        if (const auto one = merged(group, commands, shapes)) {
            add(*one);
            continue;
        }
        for (const std::size_t member : group.members) {
            const auto tries = candidates(commands[member], *shapes[member]);
            const auto found = std::ranges::find_if(
                tries, [&](const std::string& pattern) { return pattern_allows(pattern, commands[member]); });
            if (found != tries.end()) add(*found);
            else made.without.push_back(member);
        }
    }
    return made;
}

}  // namespace substrate::shell
