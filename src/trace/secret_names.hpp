#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

// What redact() knows about names, tools and token shapes.
namespace substrate::trace {

// True for the name of an option ("--api-key"), variable ("DB_PASSWORD") or
// member ("accessToken") whose value is a secret.
bool is_secret_name(std::string_view name);

// True for an HTTP header whose value is a secret, whatever follows the colon.
bool is_secret_header(std::string_view name);

// Authentication schemes after "Authorization:", which stay readable.
bool is_auth_scheme(std::string_view word);
// Those that carry several parameters, all of which go.
bool has_parameters(std::string_view scheme);

// How a tool takes a secret on its command line.
enum class SecretStyle : unsigned char {
    attached,    // "-psecret" only; a lone "-p" asks
    either,      // "-psecret" and "-p secret"
    after_colon  // "-u user:secret", attached or not
};
struct ToolRule {
    std::string_view tool;  // file name of the program
    char option;
    SecretStyle style;
};
// "login" and its like are looked up under the name of the subcommand.
const ToolRule* find_tool(std::string_view name);
// The rule of `tool` for the short option `option`, or nullptr.
const ToolRule* find_rule(std::string_view tool, char option);
// True for tools whose "login" subcommand takes "-p secret".
bool has_login(std::string_view tool);

// Length of the token of a known shape (ghp_…, AKIA…, a JWT, …) at the start of
// `text`, 0 if there is none. `fresh` says that the character before is no part
// of a base64url word. Looks only a bounded way ahead unless it finds one.
std::size_t token_length(std::string_view text, bool fresh);

}  // namespace substrate::trace
