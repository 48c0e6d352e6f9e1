// Prints each policy of a samples file as one JSON line: its name, whether our
// reader takes it, and its text as JSON. tests/contract/policy_schema.py reads them.
#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "codec/json_value.hpp"
#include "codec/policy_yaml.hpp"

using namespace substrate;

namespace {

Json as_json(const YamlNode& node) {
    switch (node.kind) {
        case YamlNode::Kind::null: return nullptr;
        case YamlNode::Kind::sequence: {
            Json list = Json::array();
            for (const YamlNode& item : node.items) list.push_back(as_json(item));
            return list;
        }
        case YamlNode::Kind::map: {
            Json object = Json::object();
            for (const auto& [key, value] : node.members) object[key] = as_json(value);
            return object;
        }
        case YamlNode::Kind::scalar: break;
    }
    if (node.quoted) return node.text;
    if (node.text == "true" || node.text == "false") return node.text == "true";
    std::int64_t whole = 0;
    const char* last = node.text.data() + node.text.size();
    if (const auto [end, error] = std::from_chars(node.text.data(), last, whole);
        error == std::errc() && end == last)
        return whole;
    double number = 0;
    if (const auto [end, error] = std::from_chars(node.text.data(), last, number);
        error == std::errc() && end == last)
        return number;
    return node.text;
}

void print(const std::string& name, const std::string& text) {
    const auto tree = parse_yaml(text);
    if (!tree) return;  // what is no YAML is no matter for the schema
    const Json row = {{"name", name}, {"ok", parse_policy(text, name).ok()}, {"value", as_json(*tree)}};
    std::printf("%s\n", dump_json(row).c_str());
}

}  // namespace

int main(int count, char** arguments) {
    for (int i = 1; i < count; ++i) {
        std::ifstream file(arguments[i]);
        const bool one = !std::string_view(arguments[i]).ends_with(".txt");
        std::string name = one ? arguments[i] : "", text;
        for (std::string row; std::getline(file, row);) {
            if (!one && row.starts_with("=== ")) {
                if (!name.empty()) print(name, text);
                name = row.substr(4);
                text.clear();
            } else {
                text += row + "\n";
            }
        }
        if (!name.empty()) print(name, text);
    }
    return 0;
}
