#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::agent {

// schemas/openapi.yaml, as it is part of the program.
std::string_view openapi_text();

// The contract: which operations there are, and what their requests must look like. All of it is
// read from one OpenAPI document, so nothing can be served that it does not describe.
class Document {
  public:
    // Errc::internal for a document that cannot be used.
    static Result<Document> parse(std::string_view yaml);

    struct Operation {
        std::string method;  // "GET"
        std::string id;
        const Json* body = nullptr;  // schema of the request's body; null: it has none
        bool body_required = false;
        bool names_agent = false;  // the body must say who asks, in agent_id
    };
    struct Found {
        const Operation* operation = nullptr;  // null: the path is known, the method is not
        std::string parameter;                 // what the path's {name} stands for
        std::string allow;                     // the path's methods, for an Allow field
        bool known = false;                    // the path is
    };
    Found find(std::string_view method, std::string_view path) const;

    const Json& json() const { return *json_; }
    // Of every operation.
    std::vector<std::string> operation_ids() const;

  private:
    struct Path {
        std::vector<std::string> segments;  // "{…}" stands for any one
        std::vector<Operation> operations;
        std::string allow;
    };
    std::unique_ptr<Json> json_;  // operations point into it
    std::vector<Path> paths_;
};

}  // namespace substrate::agent
