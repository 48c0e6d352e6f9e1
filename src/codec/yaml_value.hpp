#pragma once

#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace substrate {

struct YamlMember;

// One value of a YAML text with the place it was read at.
struct YamlNode {
    enum class Kind { null, scalar, sequence, map };
    Kind kind = Kind::null;
    std::string text;                 // scalars
    bool quoted = false;              // scalars: quoted or a block, so a string whatever it looks like
    int line = 0;                     // from 1
    int column = 0;                   // from 1
    std::vector<YamlNode> items;      // sequences
    std::vector<YamlMember> members;  // maps, in the order of the text
    std::vector<int> member_lines;    // of the keys
    const YamlNode* find(std::string_view key) const;
};

struct YamlMember {
    std::string key;
    YamlNode value;
};

struct YamlLimits {
    std::size_t max_bytes = 8u << 20;
    unsigned max_depth = 16;
    std::size_t max_nodes = 250'000;
};

struct YamlProblem {
    int line = 0;  // from 1
    int column = 0;
    std::string message;
};

// The one document of `text` (YAML 1.2 as yaml-cpp reads it). Refused besides
// syntax errors, since a policy needs none of them: anchors and aliases, tags, merge keys,
// more than one document, keys that are no plain text or that are there twice, and what is
// over a limit. Empty text is a null.
std::expected<YamlNode, YamlProblem> parse_yaml(std::string_view text, const YamlLimits& limits = {});

}  // namespace substrate
