// A request behind its head: found in the document, its body held against it, and read. What passes names an
// operation and holds what its handler takes from it; what does not is answered by a problem.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/document.hpp"
#include "agent/execute_request.hpp"
#include "agent/request_check.hpp"
#include "base/text.hpp"

using namespace substrate;
using namespace substrate::agent;

namespace {

std::string_view cut(std::string_view& rest, char end) {
    const auto at = std::min(rest.find(end), rest.size());
    const std::string_view piece = rest.substr(0, at);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return piece;
}

void check_problem(const HttpResponse& answer, bool of_a_pointer) {
    const auto body = parse_json(answer.body);
    if (answer.status < 400 || !body || body->value("error", "").empty() || body->value("detail", "").empty())
        std::abort();
    if (of_a_pointer && !body->contains("pointer")) std::abort();
}

void check_execute(const Json& body) {
    const auto request = read_execute(body, {.pid = 1, .cwd = "/project"}, {{"PATH", "/usr/bin"}});
    if (!request) return check_problem(request.error(), /*of_a_pointer=*/true);
    const ExecRequest& exec = request->exec;
    if (exec.agent_id.empty() || printable(exec.agent_id) != exec.agent_id) std::abort();
    if (exec.cmd.empty() || exec.cmd.contains('\0') || !exec.cwd.starts_with('/')) std::abort();
    for (const auto& [name, value] : exec.env)
        if (name.empty() || name.contains('=') || name.contains('\0') || value.contains('\0')) std::abort();
    if (exec.timeout_ms < 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Document document = Document::parse(openapi_text()).value();
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    std::string_view line = cut(rest, '\n');
    const std::string_view method = cut(line, ' ');
    const std::string_view path = cut(line, ' ');
    const Document::Found found = document.find(method, path);
    if (!found.known) return 0;
    if (found.operation == nullptr) {
        if (found.allow.empty()) std::abort();
        return 0;
    }
    if (found.parameter.contains('/')) std::abort();
    const auto body = read_body(document, *found.operation, {}, line, rest);
    if (!body) {
        check_problem(body.error(), /*of_a_pointer=*/false);
        return 0;
    }
    if (found.operation->names_agent && !body->at("agent_id").is_string()) std::abort();
    if (found.operation->id == "execute" || found.operation->id == "execute_stream") check_execute(*body);
    return 0;
}
