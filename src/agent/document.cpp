#include "agent/document.hpp"

#include <algorithm>
#include <optional>

#include "codec/schema_check.hpp"
#include "codec/yaml_value.hpp"

namespace substrate::agent {
namespace {

std::vector<std::string> segments_of(std::string_view path) {
    std::vector<std::string> segments;
    for (std::size_t begin = 1; begin <= path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        segments.emplace_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return segments;
}

std::string upper(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return out;
}

// Whether the schema, or what it refers to in `document`, requires the member.
bool requires_member(const Json& document, const Json& schema, const char* member) {
    if (const auto ref = schema.find("$ref"); ref != schema.end()) {
        const Json::json_pointer at(ref->get_ref<const std::string&>().substr(1));  // behind the '#'
        return document.contains(at) && requires_member(document, document.at(at), member);
    }
    const auto required = schema.find("required");
    return required != schema.end() &&
           std::ranges::any_of(*required, [member](const Json& name) { return name == member; });
}

Result<Document::Operation> operation_of(const Json& document, const std::string& method, const Json& json) {
    Document::Operation operation{.method = upper(method), .id = json.value("operationId", "")};
    if (operation.id.empty()) return fail({Errc::internal, "an operation has no operationId"});
    const auto body = json.find("requestBody");
    if (body == json.end()) return operation;
    operation.body_required = body->value("required", false);
    const Json::json_pointer at("/content/application~1json/schema");
    if (!body->contains(at)) return fail({Errc::internal, operation.id + " has a body without a schema"});
    operation.body = &body->at(at);
    operation.names_agent = operation.body_required && requires_member(document, *operation.body, "agent_id");
    return operation;
}

// The parameter's value when `segments` fit; an empty one when they fit without.
std::optional<std::string> fit(const std::vector<std::string>& pattern,
                               const std::vector<std::string>& segments) {
    if (pattern.size() != segments.size()) return std::nullopt;
    std::string parameter;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i].starts_with('{') && !segments[i].empty()) parameter = segments[i];
        else if (pattern[i] != segments[i]) return std::nullopt;
    }
    return parameter;
}

}  // namespace

Result<Document> Document::parse(std::string_view yaml) {
    const auto read = parse_yaml(yaml);
    if (!read)
        return fail({Errc::internal, "the API's document, line " + std::to_string(read.error().line) + ": " +
                                         read.error().message});
    Document document;
    document.json_ = std::make_unique<Json>(to_json(*read));
    const Json& json = *document.json_;
    if (!json.is_object() || !json.contains("paths"))
        return fail({Errc::internal, "the API's document has no paths"});
    for (const auto& [path, item] : json.at("paths").items()) {
        Path made{.segments = segments_of(path), .operations = {}, .allow = {}};
        for (const auto& [method, operation] : item.items()) {
            SUB_TRY_ASSIGN(Operation read_operation, operation_of(json, method, operation));
            made.allow += (made.allow.empty() ? "" : ", ") + read_operation.method;
            made.operations.push_back(std::move(read_operation));
        }
        document.paths_.push_back(std::move(made));
    }
    return document;
}

Document::Found Document::find(std::string_view method, std::string_view path) const {
    if (!path.starts_with('/')) return {};
    const std::vector<std::string> segments = segments_of(path);
    for (const Path& candidate : paths_) {
        auto parameter = fit(candidate.segments, segments);
        if (!parameter) continue;
        Found found{.parameter = std::move(*parameter), .allow = candidate.allow, .known = true};
        const auto it = std::ranges::find(candidate.operations, method, &Operation::method);
        if (it != candidate.operations.end()) found.operation = &*it;
        return found;
    }
    return {};
}

std::vector<std::string> Document::operation_ids() const {
    std::vector<std::string> ids;
    for (const Path& path : paths_)
        for (const Operation& operation : path.operations) ids.push_back(operation.id);
    return ids;
}

}  // namespace substrate::agent
