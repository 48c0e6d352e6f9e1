#include "codec/json_value.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/text.hpp"

namespace substrate {
namespace {

// The depth at which `text` exceeds `max_depth`, as a byte offset. Brackets are
// counted as the parser sees them: up to the first syntax error both agree on
// what is inside a string, and beyond it the parser does not go.
std::optional<std::size_t> too_deep_at(std::string_view text, unsigned max_depth) {
    unsigned depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        switch (text[i]) {
            case '"':
                for (++i; i < text.size() && text[i] != '"'; ++i)
                    if (text[i] == '\\') ++i;
                break;
            case '[':
            case '{':
                if (++depth > max_depth) return i;
                break;
            case ']':
            case '}':
                if (depth > 0) --depth;
                break;
            default: break;
        }
    }
    return std::nullopt;
}

std::string dump_indented(const Json& value) {
    try {
        return value.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
    } catch (const Json::exception&) {
        return "null";
    }
}

// The one-line form is written here and not by nlohmann-json, whose serializer
// checks every byte by a state machine: this is several times as fast, and each
// traced command pays for it.
class Writer {
  public:
    explicit Writer(std::string& out) : out_(out) {}

    void value(const Json& json) {
        switch (json.type()) {
            case Json::value_t::object: return members(json);
            case Json::value_t::array: return items(json);
            case Json::value_t::string: return string(json.get_ref<const std::string&>());
            case Json::value_t::boolean: out_ += json.get<bool>() ? "true" : "false"; return;
            case Json::value_t::number_integer: return digits(json.get<std::int64_t>());
            case Json::value_t::number_unsigned: return digits(json.get<std::uint64_t>());
            case Json::value_t::number_float: return real(json.get<double>());
            case Json::value_t::binary:
            case Json::value_t::null:
            case Json::value_t::discarded: out_ += "null"; return;
        }
    }

  private:
    void members(const Json& json) {
        char before = '{';
        for (const auto& [key, member] : json.get_ref<const Json::object_t&>()) {
            out_ += std::exchange(before, ',');
            string(key);
            out_ += ':';
            value(member);
        }
        if (before == '{') out_ += '{';
        out_ += '}';
    }
    void items(const Json& json) {
        out_ += '[';
        bool first = true;
        for (const Json& item : json.get_ref<const Json::array_t&>()) {
            if (!std::exchange(first, false)) out_ += ',';
            value(item);
        }
        out_ += ']';
    }
    template <class Int>
    void digits(Int number) {
        char text[24];
        out_.append(text, std::to_chars(text, text + sizeof text, number).ptr);
    }
    void real(double number) {
        if (!std::isfinite(number)) {
            out_ += "null";
            return;
        }
        char text[32];
        const std::string_view shortest(text, std::to_chars(text, text + sizeof text, number).ptr);
        out_ += shortest;
        // So that it reads back as a float and not as an integer.
        if (shortest.find_first_of(".e") == std::string_view::npos) out_ += ".0";
    }
    void string(std::string_view text) {
        out_ += '"';
        while (!text.empty()) {
            std::size_t plain = 0;
            while (plain < text.size() && is_plain(text[plain])) ++plain;
            out_.append(text.substr(0, plain));
            text.remove_prefix(plain);
            if (!text.empty()) text.remove_prefix(special(text));
        }
        out_ += '"';
    }
    static bool is_plain(char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
    }
    // Writes the character at the start of `text`; its length.
    std::size_t special(std::string_view text) {
        const auto byte = static_cast<unsigned char>(text.front());
        if (byte < 0x80) {
            escape(text.front());
            return 1;
        }
        const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
        if (const std::string_view character = text.substr(0, length); is_utf8(character)) {
            out_ += character;
            return length;
        }
        out_ += "\xef\xbf\xbd";
        return 1;
    }
    void escape(char c) {
        constexpr std::string_view kHex = "0123456789abcdef";
        out_ += '\\';
        switch (c) {
            case '"':
            case '\\': out_ += c; break;
            case '\n': out_ += 'n'; break;
            case '\t': out_ += 't'; break;
            case '\r': out_ += 'r'; break;
            case '\b': out_ += 'b'; break;
            case '\f': out_ += 'f'; break;
            default:
                out_ += "u00";
                out_ += kHex[static_cast<unsigned char>(c) >> 4];
                out_ += kHex[static_cast<unsigned char>(c) & 15];
        }
    }

    std::string& out_;
};

std::string flag_of(std::string_view key) { return std::string(key) + "_escaped"; }

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
    if (text.size() > limits.max_bytes)
        return fail({Errc::invalid, "JSON of more than " + std::to_string(limits.max_bytes) + " bytes"});
    if (const auto at = too_deep_at(text, limits.max_depth))
        return fail({Errc::invalid, "JSON nested deeper than " + std::to_string(limits.max_depth) +
                                        " at byte " + std::to_string(*at)});
    try {
        return Json::parse(text.begin(), text.end());
    } catch (const Json::parse_error& error) {
        // Its what() quotes the input, which may hold control characters.
        return fail({Errc::invalid, "not JSON at byte " + std::to_string(error.byte)});
    } catch (const Json::exception&) {
        return fail({Errc::invalid, "JSON with a number that is out of range"});
    }
}

std::string dump_json(const Json& value) {
    std::string out;
    append_json(out, value);
    return out;
}

std::string dump_json_pretty(const Json& value) { return dump_indented(value); }

void append_json(std::string& out, const Json& value) { Writer(out).value(value); }

void put_bytes(Json& object, std::string_view key, std::string_view bytes) {
    if (is_utf8(bytes)) {
        object.emplace(key, bytes);
        return;
    }
    object.emplace(key, escape_bytes(bytes));
    object.emplace(flag_of(key), true);
}

void put_bytes(Json& object, std::string_view key, const std::vector<std::string>& list) {
    const bool plain = std::ranges::all_of(list, is_utf8);
    Json array = Json::array();
    for (const std::string& item : list) array.emplace_back(plain ? item : escape_bytes(item));
    object.emplace(key, std::move(array));
    if (!plain) object.emplace(flag_of(key), true);
}

void put_bytes(Json& object, std::string_view key, const std::map<std::string, std::string>& members) {
    const bool plain = std::ranges::all_of(
        members, [](const auto& member) { return is_utf8(member.first) && is_utf8(member.second); });
    Json map = Json::object();
    for (const auto& [name, value] : members)
        map.emplace(plain ? name : escape_bytes(name), plain ? value : escape_bytes(value));
    object.emplace(key, std::move(map));
    if (!plain) object.emplace(flag_of(key), true);
}

}  // namespace substrate
