#include "codec/schema_check.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace substrate {
namespace {

template <class Number>
std::optional<Number> number_of(const std::string& text) {
    Number value{};
    const char* end = text.data() + text.size();
    const auto [at, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc() || at != end) return std::nullopt;
    return value;
}

Json scalar(const YamlNode& node) {
    const std::string& text = node.text;
    if (node.quoted || text.empty()) return text;
    if (text == "true" || text == "false") return text == "true";
    if (text == "null" || text == "~") return nullptr;
    if (text.find_first_not_of("0123456789+-.eE") != std::string::npos) return text;
    if (const auto integer = number_of<std::int64_t>(text)) return *integer;
    if (const auto real = number_of<double>(text)) return *real;
    return text;
}

using Breach = std::optional<SchemaBreach>;

// A reference token of RFC 6901.
std::string token(std::string_view key) {
    std::string out = "/";
    for (const char c : key) {
        if (c == '~') out += "~0";
        else if (c == '/') out += "~1";
        else out += c;
    }
    return out;
}

// Characters, not bytes, of UTF-8 text.
std::size_t length_of(const std::string& text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool has_type(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    return type == "null" && value.is_null();
}

std::string with_article(const std::string& type) {
    if (type == "null") return type;
    return (type.find_first_of("aeio") == 0 ? "an " : "a ") + type;
}

// One walk down a value and its schema side by side.
class Walk {
  public:
    explicit Walk(const Json& document) : document_(document) {}
    Result<Breach> check(const Json& schema, const Json& value, const std::string& pointer);

  private:
    Result<const Json*> resolve(const Json& schema) const;
    Result<Breach> keyword(const std::string& word, const Json& rule, const Json& schema, const Json& value,
                           const std::string& pointer);
    Breach type(const Json& rule, const Json& value, const std::string& pointer) const;
    Breach limit(const std::string& word, const Json& rule, const Json& value,
                 const std::string& pointer) const;
    Result<Breach> members(const std::string& word, const Json& rule, const Json& schema, const Json& value,
                           const std::string& pointer);
    const Json& document_;
    int depth_ = 0;
};

Result<const Json*> Walk::resolve(const Json& schema) const {
    const Json* at = &schema;
    for (int steps = 0; at->is_object() && at->contains("$ref"); ++steps) {
        const Json& reference = at->at("$ref");
        const std::string text = reference.is_string() ? reference.get<std::string>() : std::string();
        if (steps > 8 || !text.starts_with("#/"))
            return fail({Errc::internal, "the schema's reference '" + text + "' leads nowhere"});
        at = &document_;
        for (std::size_t begin = 2; begin <= text.size();) {
            const std::size_t end = std::min(text.find('/', begin), text.size());
            const auto next = at->is_object() ? at->find(text.substr(begin, end - begin)) : at->end();
            if (next == at->end())
                return fail({Errc::internal, "the schema's reference '" + text + "' leads nowhere"});
            at = &*next;
            begin = end + 1;
        }
    }
    return at;
}

Breach Walk::type(const Json& rule, const Json& value, const std::string& pointer) const {
    std::string wanted;
    for (const Json& word : rule.is_array() ? rule : Json::array({rule})) {
        const std::string name = word.get<std::string>();
        if (has_type(value, name)) return std::nullopt;
        wanted += (wanted.empty() ? "" : " or ") + with_article(name);
    }
    return SchemaBreach{pointer, "type", "is not " + wanted};
}

Breach Walk::limit(const std::string& word, const Json& rule, const Json& value,
                   const std::string& pointer) const {
    const auto breach = [&](std::string_view what) {
        return SchemaBreach{pointer, word, std::string(what) + " " + rule.dump()};
    };
    if (word == "minimum" || word == "maximum") {
        if (!value.is_number()) return std::nullopt;
        if (word == "minimum" && value < rule) return breach("is less than");
        if (word == "maximum" && value > rule) return breach("is more than");
        return std::nullopt;
    }
    std::size_t size = 0;
    if (word.ends_with("Length") && value.is_string()) size = length_of(value.get_ref<const std::string&>());
    else if ((word.ends_with("Items") && value.is_array()) || (word == "maxProperties" && value.is_object()))
        size = value.size();
    else return std::nullopt;
    const auto bound = rule.get<std::size_t>();
    const char* unit = word.ends_with("Length")  ? "characters"
                       : word.ends_with("Items") ? "items"
                                                 : "members";
    if (word.starts_with("min") ? size >= bound : size <= bound) return std::nullopt;
    return SchemaBreach{pointer, word,
                        (word.starts_with("min") ? "has fewer than " : "has more than ") +
                            std::to_string(bound) + " " + unit};
}

Result<Breach> Walk::members(const std::string& word, const Json& rule, const Json& schema, const Json& value,
                             const std::string& pointer) {
    if (!value.is_object()) return Breach();
    if (word == "required") {
        for (const Json& key : rule)
            if (!value.contains(key.get<std::string>()))
                return SchemaBreach{pointer + token(key.get<std::string>()), word, "is required"};
        return Breach();
    }
    const Json none = Json::object();
    const Json& named = schema.contains("properties") ? schema.at("properties") : none;
    for (const auto& [key, member] : value.items()) {
        const bool known = named.contains(key);
        if (word == "properties" && known) {
            SUB_TRY_ASSIGN(Breach breach, check(named.at(key), member, pointer + token(key)));
            if (breach) return breach;
        }
        if (word != "additionalProperties" || known) continue;
        if (rule.is_boolean()) {
            if (!rule.get<bool>()) return SchemaBreach{pointer + token(key), word, "is not known"};
            continue;
        }
        SUB_TRY_ASSIGN(Breach breach, check(rule, member, pointer + token(key)));
        if (breach) return breach;
    }
    return Breach();
}

Result<Breach> Walk::keyword(const std::string& word, const Json& rule, const Json& schema, const Json& value,
                             const std::string& pointer) {
    static constexpr std::array<std::string_view, 7> kNotes = {
        "description", "example", "examples", "title", "default", "contentEncoding", "format"};
    static constexpr std::array<std::string_view, 7> kLimits = {
        "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "maxProperties"};
    if (std::ranges::find(kNotes, word) != kNotes.end()) return Breach();
    if (std::ranges::find(kLimits, word) != kLimits.end()) return limit(word, rule, value, pointer);
    if (word == "type") return type(rule, value, pointer);
    if (word == "properties" || word == "required" || word == "additionalProperties")
        return members(word, rule, schema, value, pointer);
    if (word == "enum") {
        if (std::ranges::find(rule, value) != rule.end()) return Breach();
        return SchemaBreach{pointer, word, "is none of " + rule.dump()};
    }
    if (word == "items") {
        for (std::size_t i = 0; value.is_array() && i < value.size(); ++i) {
            SUB_TRY_ASSIGN(Breach breach, check(rule, value[i], pointer + "/" + std::to_string(i)));
            if (breach) return breach;
        }
        return Breach();
    }
    return fail({Errc::internal, "the schema's keyword '" + word + "' is not known"});
}

Result<Breach> Walk::check(const Json& schema, const Json& value, const std::string& pointer) {
    if (depth_ > 64) return fail({Errc::internal, "the schema nests too deep"});
    SUB_TRY_ASSIGN(const Json* resolved, resolve(schema));
    if (!resolved->is_object()) return fail({Errc::internal, "a schema that is no object"});
    ++depth_;
    // Its type first: the other keywords speak of one type each.
    Breach found;
    if (const auto rule = resolved->find("type"); rule != resolved->end())
        found = type(*rule, value, pointer);
    for (const auto& [word, rule] : resolved->items()) {
        if (found) break;
        SUB_TRY_ASSIGN(found, keyword(word, rule, *resolved, value, pointer));
    }
    --depth_;
    return found;
}

}  // namespace

Json to_json(const YamlNode& node) {
    switch (node.kind) {
        case YamlNode::Kind::null: return nullptr;
        case YamlNode::Kind::scalar: return scalar(node);
        case YamlNode::Kind::sequence: {
            Json array = Json::array();
            for (const YamlNode& item : node.items) array.push_back(to_json(item));
            return array;
        }
        case YamlNode::Kind::map: {
            Json object = Json::object();
            for (const YamlMember& member : node.members) object[member.key] = to_json(member.value);
            return object;
        }
    }
    return nullptr;
}

Result<std::optional<SchemaBreach>> check_schema(const Json& document, const Json& schema,
                                                 const Json& value) {
    return Walk(document).check(schema, value, {});
}

}  // namespace substrate
