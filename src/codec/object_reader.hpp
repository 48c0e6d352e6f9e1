#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate {

// Reads the members of one JSON object into typed variables. A member that is
// missing or null leaves its variable alone unless it was required; members that
// nobody asks for are ignored. The first problem is kept, named by its JSON
// pointer (RFC 6901), and every later read does nothing: check finish() once.
class ObjectReader {
  public:
    // `value` must outlive the reader.
    explicit ObjectReader(const Json& value, std::string pointer = {});

    void require(std::string_view key);
    void boolean(std::string_view key, bool& out);
    void number(std::string_view key, double& out);
    void string(std::string_view key, std::string& out);
    // The counterparts of put_bytes.
    void bytes(std::string_view key, std::string& out);
    void bytes(std::string_view key, std::vector<std::string>& out);
    void bytes(std::string_view key, std::map<std::string, std::string>& out);
    // RFC 3339 text to nanoseconds since the epoch.
    void time(std::string_view key, std::int64_t& out);
    template <std::integral Int>
    void integer(std::string_view key, Int& out);
    template <std::integral Int>
    void integers(std::string_view key, std::optional<std::vector<Int>>& out);
    // A word that `parse` turns into an optional value.
    template <class T, class Parse>
    void word(std::string_view key, T& out, Parse parse);
    // `read` gets an ObjectReader of the member object.
    template <class Read>
    void object(std::string_view key, Read read);
    // `read` gets an ObjectReader of each element of the member array.
    template <class Read>
    void objects(std::string_view key, Read read);

    // The member, or nullptr when it is missing or null or a problem was found.
    const Json* find(std::string_view key) const;
    void problem(std::string_view key, std::string_view what);
    Result<> finish() const;

  private:
    // Why it is none of these.
    template <std::integral Int>
    static std::string_view read_integer(const Json& value, Int& out);
    bool escaped(std::string_view key) const;
    std::string pointer_to(std::string_view key) const;
    template <class Read>
    void descend(const Json& value, std::string pointer, Read& read);

    const Json* value_;
    std::string pointer_;
    std::optional<Error> error_;
};

template <std::integral Int>
std::string_view ObjectReader::read_integer(const Json& value, Int& out) {
    constexpr std::string_view kOutOfRange = "is out of range";
    if (value.is_number_unsigned()) {
        const auto number = value.get<std::uint64_t>();
        if (!std::in_range<Int>(number)) return kOutOfRange;
        out = static_cast<Int>(number);
    } else if (value.is_number_integer()) {
        const auto number = value.get<std::int64_t>();
        if (!std::in_range<Int>(number)) return kOutOfRange;
        out = static_cast<Int>(number);
    } else {
        return "is not an integer";
    }
    return {};
}

template <std::integral Int>
void ObjectReader::integer(std::string_view key, Int& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (const std::string_view what = read_integer(*member, out); !what.empty()) problem(key, what);
}

template <std::integral Int>
void ObjectReader::integers(std::string_view key, std::optional<std::vector<Int>>& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (!member->is_array()) return problem(key, "is not an array");
    std::vector<Int> read;
    for (const Json& value : *member)
        if (const std::string_view what = read_integer(value, read.emplace_back()); !what.empty())
            return problem(key, what);
    out = std::move(read);
}

template <class T, class Parse>
void ObjectReader::word(std::string_view key, T& out, Parse parse) {
    std::string text;
    string(key, text);
    if (error_ || find(key) == nullptr) return;
    if (const auto parsed = parse(std::string_view(text))) out = *parsed;
    else problem(key, "is not a known word");
}

template <class Read>
void ObjectReader::descend(const Json& value, std::string pointer, Read& read) {
    ObjectReader child(value, std::move(pointer));
    if (!child.error_) read(child);
    if (child.error_) error_ = std::move(child.error_);
}

template <class Read>
void ObjectReader::object(std::string_view key, Read read) {
    if (const Json* member = find(key)) descend(*member, pointer_to(key), read);
}

template <class Read>
void ObjectReader::objects(std::string_view key, Read read) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (!member->is_array()) {
        problem(key, "is not an array");
        return;
    }
    for (std::size_t i = 0; i < member->size() && !error_; ++i)
        descend((*member)[i], pointer_to(key) + "/" + std::to_string(i), read);
}

}  // namespace substrate
