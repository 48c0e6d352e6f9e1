#include "agent/request_check.hpp"

#include "agent/execute_request.hpp"
#include "agent/problem.hpp"
#include "base/text.hpp"
#include "codec/schema_check.hpp"

namespace substrate::agent {
namespace {

// Without parameters: "application/json; charset=utf-8".
bool is_json(std::string_view content_type) {
    content_type = content_type.substr(0, content_type.find(';'));
    while (content_type.ends_with(' ')) content_type.remove_suffix(1);
    return content_type.empty() || content_type == "application/json";
}

}  // namespace

std::expected<Json, HttpResponse> read_body(const Document& document, const Document::Operation& operation,
                                            std::string_view query, std::string_view content_type,
                                            std::string_view body) {
    const auto refuse = [](int status, std::string_view error, std::string_view detail,
                           Json more = Json::object()) {
        return std::unexpected(problem(status, error, detail, std::move(more)));
    };
    if (!query.empty()) return refuse(400, "invalid", "there are no query parameters here");
    if (operation.body == nullptr) {
        if (body.empty()) return Json();
        return refuse(400, "invalid", "this request has no body");
    }
    if (body.empty() && !operation.body_required) return Json::object();
    if (!is_json(content_type)) return refuse(415, "media_type", "the body is to be application/json");
    auto parsed = parse_json(body);
    if (!parsed) return refuse(400, "invalid", parsed.error().message(), {{"pointer", ""}});
    if (operation.names_agent)
        if (auto refusal = check_agent_id(*parsed)) return std::unexpected(std::move(*refusal));
    const auto breach = check_schema(document.json(), *operation.body, *parsed);
    if (!breach) return std::unexpected(problem(breach.error()));
    if (!*breach) return std::move(*parsed);
    const std::string where = (*breach)->pointer.empty() ? "the body" : printable((*breach)->pointer);
    return refuse(400, "invalid", where + " " + printable((*breach)->message),
                  {{"pointer", (*breach)->pointer}});
}

}  // namespace substrate::agent
