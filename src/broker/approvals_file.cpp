#include "broker/approvals_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "base/text.hpp"
#include "codec/time_text.hpp"
#include "codec/yaml_value.hpp"

namespace substrate::broker {
namespace {

constexpr std::size_t kMaxName = 256;             // bytes of a policy's id or hash
constexpr std::size_t kMaxDirectory = 16u << 10;  // the kernel's limit is 4096, a bind mount may add

// parse_yaml refuses a value that holds this text, which is its mark of the end.
constexpr std::string_view kReserved = "#end-of-the-text";

std::string encode(std::string_view bytes) {
    std::string text = escape_bytes(bytes);
    for (std::size_t at = text.find(kReserved); at != std::string::npos; at = text.find(kReserved, at))
        text.replace(at, 1, "\\x23");
    return text;
}

std::string quoted(std::string_view utf8) {
    std::string out = "\"";
    for (std::size_t at = 0; at < utf8.size();) {
        const auto lead = static_cast<unsigned char>(utf8[at]);
        const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        char32_t code = length == 1 ? lead : lead & (0xffu >> (length + 1));
        for (std::size_t i = 1; i < length; ++i)
            code = (code << 6) | (static_cast<unsigned char>(utf8[at + i]) & 0x3f);
        at += length;
        const auto value = static_cast<std::uint32_t>(code);
        if (code == '"' || code == '\\') out += {'\\', static_cast<char>(code)};
        else if (code == '\n') out += "\\n";
        else if (code == '\t') out += "\\t";
        else if (code >= 0x20 && code < 0x7f) out += static_cast<char>(code);
        else if (code < 0x80) out += fmt::format("\\x{:02x}", value);
        else if (code < 0x10000) out += fmt::format("\\u{:04x}", value);
        else out += fmt::format("\\U{:08x}", value);
    }
    return out + '"';
}

bool is_plain_name(std::string_view text) {
    return !text.empty() && text.size() <= kMaxName && std::ranges::all_of(text, [](char c) {
        return c > 0x20 && c < 0x7f && c != '\\' && c != '"' && c != '#';
    });
}

// Without "//", "." and "..": such a text could be compared with no other.
bool is_plain_directory(std::string_view path) {
    return path.starts_with('/') && path.size() <= kMaxDirectory && !path.contains('\0') &&
           normalized(path) == path && !path.contains("/../") && !path.ends_with("/..");
}

class Reader {
  public:
    explicit Reader(std::string_view file) : file_(file) {}

    Result<std::vector<Approval>> read(const YamlNode& root);

  private:
    using Scope = std::tuple<std::string, std::string, std::string, std::string>;

    std::unexpected<Error> wrong(int line, std::string_view what) const {
        return fail({Errc::invalid, fmt::format("{}:{}: {}", file_, std::max(line, 1), what)});
    }
    template <std::size_t N>
    Result<> keys(const YamlNode& map, const std::array<std::string_view, N>& known) const;
    Result<std::string> text(const YamlNode& map, std::string_view key) const;
    Result<std::string> bytes(const YamlNode& map, std::string_view key) const;
    Result<Approval> approval(const YamlNode& entry);

    std::string_view file_;
    std::set<std::string> ids_;
    std::set<Scope> scopes_;
};

template <std::size_t N>
Result<> Reader::keys(const YamlNode& map, const std::array<std::string_view, N>& known) const {
    if (map.kind != YamlNode::Kind::map) return wrong(map.line, "must be a mapping");
    for (std::size_t i = 0; i < map.members.size(); ++i)
        if (std::ranges::find(known, std::string_view(map.members[i].key)) == known.end())
            return wrong(map.member_lines[i],
                         "the key '" + printable(map.members[i].key.substr(0, 80)) + "' is not known");
    for (const std::string_view key : known)
        if (map.find(key) == nullptr) return wrong(map.line, "'" + std::string(key) + "' is missing");
    return {};
}

Result<std::string> Reader::text(const YamlNode& map, std::string_view key) const {
    const YamlNode& value = *map.find(key);
    if (value.kind != YamlNode::Kind::scalar || !value.quoted)
        return wrong(value.line, "'" + std::string(key) + "' must be a text in quotes");
    return value.text;
}

Result<std::string> Reader::bytes(const YamlNode& map, std::string_view key) const {
    SUB_TRY_ASSIGN(const std::string escaped, text(map, key));
    std::string plain = unescape_bytes(escaped);
    // One value has one text, or a person could read another one than counts.
    if (encode(plain) != escaped)
        return wrong(
            map.find(key)->line,
            "'" + std::string(key) + "' has a backslash that is neither \\\\ nor \\x and two digits");
    return plain;
}

Result<Approval> Reader::approval(const YamlNode& entry) {
    SUB_TRY(keys(entry, std::array<std::string_view, 6>{"id", "policy_id", "policy_hash", "directory",
                                                        "pattern", "at"}));
    Approval made;
    SUB_TRY_ASSIGN(made.id, text(entry, "id"));
    SUB_TRY_ASSIGN(made.scope.policy_id, text(entry, "policy_id"));
    SUB_TRY_ASSIGN(made.scope.policy_hash, text(entry, "policy_hash"));
    SUB_TRY_ASSIGN(made.scope.directory, bytes(entry, "directory"));
    SUB_TRY_ASSIGN(made.scope.pattern, bytes(entry, "pattern"));
    SUB_TRY_ASSIGN(const std::string at, text(entry, "at"));
    const auto instant = parse_rfc3339(at);
    if (!instant) return wrong(entry.find("at")->line, "'at' is not an RFC 3339 time");
    made.at_ns = *instant;
    if (!is_id(made.id, "apr"))
        return wrong(entry.find("id")->line, "'id' is not 'apr_' and a UUID in lower case");
    if (const std::string problem = problem_of(made.scope); !problem.empty())
        return wrong(entry.line, problem);
    if (!ids_.insert(made.id).second) return wrong(entry.find("id")->line, "this id is there twice");
    const ApprovalScope& scope = made.scope;
    if (!scopes_.emplace(scope.policy_id, scope.policy_hash, scope.directory, scope.pattern).second)
        return wrong(entry.line, "the same approval is there twice");
    return made;
}

Result<std::vector<Approval>> Reader::read(const YamlNode& root) {
    SUB_TRY(keys(root, std::array<std::string_view, 2>{"version", "approvals"}));
    const YamlNode& version = *root.find("version");
    if (version.kind != YamlNode::Kind::scalar || version.quoted || version.text != "1")
        return wrong(version.line, "'version' must be 1: another program has written this");
    const YamlNode& list = *root.find("approvals");
    if (list.kind != YamlNode::Kind::sequence) return wrong(list.line, "'approvals' must be a list");
    if (list.items.size() > kMaxApprovals)
        return wrong(list.line, fmt::format("there are more than {} approvals", kMaxApprovals));
    std::vector<Approval> approvals;
    for (const YamlNode& entry : list.items) {
        SUB_TRY_ASSIGN(approvals.emplace_back(), approval(entry));
    }
    return approvals;
}

}  // namespace

std::string problem_of(const ApprovalScope& scope) {
    if (!is_plain_name(scope.policy_id)) return "the policy's id is no name of up to 256 ASCII characters";
    if (!is_plain_name(scope.policy_hash))
        return "the policy's hash is no name of up to 256 ASCII characters";
    if (!is_plain_directory(scope.directory))
        return "the directory is not absolute, or has '.' or '..' in it";
    if (scope.pattern.empty()) return "there is no command";
    if (scope.pattern.size() > kMaxPatternBytes)
        return fmt::format("the command has {} bytes, more than {}", scope.pattern.size(), kMaxPatternBytes);
    return {};
}

Result<std::vector<Approval>> parse_approvals(std::string_view text, std::string_view file) {
    const auto root = parse_yaml(text, {.max_bytes = kMaxApprovalsFile, .max_depth = 4});
    if (!root)
        return fail({Errc::invalid, fmt::format("{}:{}:{}: {}", file, root.error().line, root.error().column,
                                                root.error().message)});
    return Reader(file).read(*root);
}

std::string format_approvals(const std::vector<Approval>& approvals) {
    std::string out =
        "# What was always approved. Remove entries with 'substrate policy approvals --revoke ID'.\n"
        "version: 1\n";
    out += approvals.empty() ? "approvals: []\n" : "approvals:\n";
    for (const Approval& approval : approvals)
        out += fmt::format(
            "  - id: {}\n    policy_id: {}\n    policy_hash: {}\n    directory: {}\n    pattern: {}\n"
            "    at: {}\n",
            quoted(approval.id), quoted(approval.scope.policy_id), quoted(approval.scope.policy_hash),
            quoted(encode(approval.scope.directory)), quoted(encode(approval.scope.pattern)),
            quoted(format_rfc3339(approval.at_ns)));
    return out;
}

}  // namespace substrate::broker
