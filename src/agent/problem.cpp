#include "agent/problem.hpp"

#include "base/text.hpp"

namespace substrate::agent {
namespace {

int status_of(Errc code) {
    switch (code) {
        case Errc::invalid: return 400;
        case Errc::denied: return 403;
        case Errc::not_found: return 404;
        case Errc::conflict:
        case Errc::safety: return 409;
        case Errc::unsupported:
        case Errc::unavailable: return 503;
        case Errc::os:
        case Errc::internal: return 500;
    }
    return 500;
}

}  // namespace

std::string_view phrase_of(int status) {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 409: return "Conflict";
        case 413: return "Content Too Large";
        case 415: return "Unsupported Media Type";
        case 421: return "Misdirected Request";
        case 426: return "Upgrade Required";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        default: return "Internal Server Error";
    }
}

HttpResponse problem(int status, std::string_view error, std::string_view detail, Json more) {
    more["type"] = "urn:substrate:problem:" + std::string(error);
    more["title"] = phrase_of(status);
    more["status"] = status;
    more["error"] = error;
    more["detail"] = detail;
    more["message"] = detail;
    return {.status = status, .content_type = "application/problem+json", .body = dump_json(more) + "\n"};
}

HttpResponse problem(const Error& error) {
    Json more = Json::object();
    if (!error.advice().empty()) more["advice"] = printable(error.advice());
    return problem(status_of(error.code()), to_string(error.code()), printable(error.message()),
                   std::move(more));
}

HttpResponse json_response(const Json& body) { return {.body = dump_json(body) + "\n"}; }

}  // namespace substrate::agent
