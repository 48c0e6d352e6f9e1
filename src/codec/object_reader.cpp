#include "codec/object_reader.hpp"

#include "base/text.hpp"
#include "codec/time_text.hpp"

namespace substrate {

ObjectReader::ObjectReader(const Json& value, std::string pointer)
    : value_(&value), pointer_(std::move(pointer)) {
    if (!value.is_object())
        error_ = Error(Errc::invalid,
                       (pointer_.empty() ? "the value" : "'" + pointer_ + "'") + " is not an object");
}

std::string ObjectReader::pointer_to(std::string_view key) const { return pointer_ + "/" + std::string(key); }

void ObjectReader::problem(std::string_view key, std::string_view what) {
    if (!error_) error_ = Error(Errc::invalid, "'" + pointer_to(key) + "' " + std::string(what));
}

const Json* ObjectReader::find(std::string_view key) const {
    if (error_) return nullptr;
    const auto it = value_->find(key);
    return it == value_->end() || it->is_null() ? nullptr : &*it;
}

void ObjectReader::require(std::string_view key) {
    if (!error_ && find(key) == nullptr) problem(key, "is missing");
}

void ObjectReader::boolean(std::string_view key, bool& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (member->is_boolean()) out = member->get<bool>();
    else problem(key, "is not a boolean");
}

void ObjectReader::number(std::string_view key, double& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (member->is_number()) out = member->get<double>();
    else problem(key, "is not a number");
}

void ObjectReader::string(std::string_view key, std::string& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (member->is_string()) out = member->get_ref<const std::string&>();
    else problem(key, "is not a string");
}

bool ObjectReader::escaped(std::string_view key) const {
    const auto it = value_->find(std::string(key) + "_escaped");
    return it != value_->end() && it->is_boolean() && it->get<bool>();
}

void ObjectReader::bytes(std::string_view key, std::string& out) {
    if (find(key) == nullptr) return;
    string(key, out);
    if (!error_ && escaped(key)) out = unescape_bytes(out);
}

void ObjectReader::bytes(std::string_view key, std::vector<std::string>& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (!member->is_array()) return problem(key, "is not an array");
    const bool raw = escaped(key);
    std::vector<std::string> items;
    items.reserve(member->size());
    for (const Json& item : *member) {
        if (!item.is_string()) return problem(key, "has an element that is not a string");
        const auto& text = item.get_ref<const std::string&>();
        items.push_back(raw ? unescape_bytes(text) : text);
    }
    out = std::move(items);
}

void ObjectReader::bytes(std::string_view key, std::map<std::string, std::string>& out) {
    const Json* member = find(key);
    if (member == nullptr) return;
    if (!member->is_object()) return problem(key, "is not an object");
    const bool raw = escaped(key);
    std::map<std::string, std::string> members;
    for (const auto& [name, value] : member->items()) {
        if (!value.is_string()) return problem(key, "has a member that is not a string");
        const auto& text = value.get_ref<const std::string&>();
        members.insert_or_assign(raw ? unescape_bytes(name) : name, raw ? unescape_bytes(text) : text);
    }
    out = std::move(members);
}

void ObjectReader::time(std::string_view key, std::int64_t& out) {
    std::string text;
    string(key, text);
    if (error_ || find(key) == nullptr) return;
    if (const auto parsed = parse_rfc3339(text)) out = *parsed;
    else problem(key, "is not an RFC 3339 time");
}

Result<> ObjectReader::finish() const {
    if (error_) return fail(*error_);
    return {};
}

}  // namespace substrate
