#include "trace/secret_names.hpp"

#include <algorithm>
#include <array>

namespace substrate::trace {
namespace {

constexpr std::size_t kLongestName = 64;

bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return is_upper(c) || is_lower(c) || is_digit(c); }

// A name in lower case with '_' for '-' and '.'; of a long one its end.
class Normal {
  public:
    explicit Normal(std::string_view name) {
        if (name.size() > kLongestName) name.remove_prefix(name.size() - kLongestName);
        for (const char c : name) {
            has_lower_ = has_lower_ || is_lower(c);
            buffer_[size_++] = is_upper(c) ? static_cast<char>(c + 32) : c == '-' || c == '.' ? '_' : c;
        }
    }
    std::string_view text() const { return {buffer_.data(), size_}; }
    // As names of environment variables are, by convention.
    bool is_screaming() const { return !has_lower_; }

  private:
    std::array<char, kLongestName> buffer_{};
    std::size_t size_ = 0;
    bool has_lower_ = false;
};

constexpr std::array<std::string_view, 23> kSecretEndings = {
    "token",       "secret",     "password",    "passwd",        "passphrase",  "apikey",
    "accesskey",   "secretkey",  "privatekey",  "credentials",   "credential",  "api_key",
    "access_key",  "secret_key", "private_key", "auth_key",      "signing_key", "encryption_key",
    "account_key", "_pwd",       "_key_base",   "access_key_id", "_bearer"};
constexpr std::array<std::string_view, 9> kSecretWords = {"passin",    "passout",         "dbpass",
                                                          "db_pass",   "user_pass",       "admin_pass",
                                                          "smtp_pass", "x_amz_signature", "license_key"};
// In capitals these endings are a variable's; in small letters they are words.
constexpr std::array<std::string_view, 4> kScreamingEndings = {"_key", "_pass", "_pat", "_auth"};
constexpr std::array<std::string_view, 3> kHarmlessEndings = {"public_key", "primary_key", "foreign_key"};
// Flags that speak about a secret without carrying one.
constexpr std::array<std::string_view, 4> kHarmlessBeginnings = {"no_", "ask_", "prompt_", "without_"};

template <std::size_t N>
bool ends_with_any(std::string_view text, const std::array<std::string_view, N>& endings) {
    return std::ranges::any_of(endings, [&](std::string_view ending) { return text.ends_with(ending); });
}

using enum SecretStyle;
constexpr std::array kRules = {
    ToolRule{"mysql", 'p', attached},       ToolRule{"mariadb", 'p', attached},
    ToolRule{"mysqldump", 'p', attached},   ToolRule{"mariadb-dump", 'p', attached},
    ToolRule{"mysqladmin", 'p', attached},  ToolRule{"mariadb-admin", 'p', attached},
    ToolRule{"mysqlimport", 'p', attached}, ToolRule{"mysqlshow", 'p', attached},
    ToolRule{"mysqlcheck", 'p', attached},  ToolRule{"7z", 'p', attached},
    ToolRule{"7za", 'p', attached},         ToolRule{"sshpass", 'p', either},
    ToolRule{"login", 'p', either},         ToolRule{"curl", 'u', after_colon},
    ToolRule{"curl", 'U', after_colon},     ToolRule{"redis-cli", 'a', either},
    ToolRule{"zip", 'P', either},           ToolRule{"unzip", 'P', either},
    ToolRule{"ldapsearch", 'w', either},    ToolRule{"ldapmodify", 'w', either},
    ToolRule{"sqlcmd", 'P', either},
};

struct Shape {
    std::string_view prefix;
    unsigned least;    // characters after the prefix
    bool with_dashes;  // besides letters, digits and '_'
    bool with_underscores;
};
constexpr std::array kShapes = {
    Shape{"ghp_", 20, false, false},     Shape{"gho_", 20, false, false},
    Shape{"ghu_", 20, false, false},     Shape{"ghs_", 20, false, false},
    Shape{"ghr_", 20, false, false},     Shape{"github_pat_", 20, false, true},
    Shape{"sk-", 20, true, true},        Shape{"sk_live_", 16, false, false},
    Shape{"rk_live_", 16, false, false}, Shape{"sk_test_", 16, false, false},
    Shape{"xoxb-", 10, true, false},     Shape{"xoxp-", 10, true, false},
    Shape{"xoxa-", 10, true, false},     Shape{"xoxr-", 10, true, false},
    Shape{"xoxs-", 10, true, false},     Shape{"xapp-", 10, true, false},
    Shape{"npm_", 30, false, false},     Shape{"glpat-", 20, true, true},
    Shape{"AIza", 35, true, true},       Shape{"hf_", 30, false, false},
    Shape{"pypi-", 40, true, true},      Shape{"dop_v1_", 40, false, false},
    Shape{"shpat_", 30, false, false},
};

bool in_shape(const Shape& shape, char c) {
    return is_alnum(c) || (shape.with_dashes && c == '-') || (shape.with_underscores && c == '_');
}

std::size_t shape_length(const Shape& shape, std::string_view text) {
    if (!text.starts_with(shape.prefix)) return 0;
    std::size_t end = shape.prefix.size();
    const std::size_t least = end + shape.least;
    if (text.size() < least) return 0;
    bool random = false;  // a digit or capital: what chance makes and dashed prose does not
    for (; end < least; ++end) {
        if (!in_shape(shape, text[end])) return 0;
        random = random || is_digit(text[end]) || is_upper(text[end]);
    }
    if (shape.with_dashes && !random) return 0;
    while (end < text.size() && in_shape(shape, text[end])) ++end;
    return end;
}

// AWS key ids: exactly 16 capitals and digits.
std::size_t aws_length(std::string_view text) {
    if (text.size() < 20 || (!text.starts_with("AKIA") && !text.starts_with("ASIA"))) return 0;
    for (std::size_t i = 4; i < 20; ++i)
        if (!is_upper(text[i]) && !is_digit(text[i])) return 0;
    return text.size() > 20 && (is_alnum(text[20]) || text[20] == '_') ? 0 : 20;
}

// eyJ….….… (RFC 7519): three base64url words.
std::size_t jwt_length(std::string_view text) {
    if (!text.starts_with("eyJ")) return 0;
    std::size_t at = 0;
    for (int part = 0; part < 3; ++part) {
        const std::size_t start = at;
        while (at < text.size() && (is_alnum(text[at]) || text[at] == '-' || text[at] == '_')) ++at;
        if (at - start < 6) return 0;
        if (part < 2) {
            if (at == text.size() || text[at] != '.') return 0;
            ++at;
        }
    }
    return at;
}

}  // namespace

bool is_secret_name(std::string_view name) {
    while (name.starts_with('-')) name.remove_prefix(1);
    const Normal normal(name);
    const std::string_view text = normal.text();
    if (text.size() < 5) return false;  // the shortest secret name is "token"
    const bool secret = ends_with_any(text, kSecretEndings) ||
                        std::ranges::find(kSecretWords, text) != kSecretWords.end() ||
                        (normal.is_screaming() && ends_with_any(text, kScreamingEndings));
    if (!secret) return false;
    const bool harmless =
        ends_with_any(text, kHarmlessEndings) ||
        std::ranges::any_of(kHarmlessBeginnings, [&](auto b) { return text.starts_with(b); });
    return !harmless;
}

bool is_secret_header(std::string_view name) {
    const Normal normal(name);
    const std::string_view text = normal.text();
    if (text.ends_with("authorization") || text == "cookie" || text == "set_cookie" || text == "apikey")
        return true;
    return (text.starts_with("x_") || text == "private_token" || text == "job_token") && is_secret_name(name);
}

bool is_auth_scheme(std::string_view word) {
    constexpr std::array<std::string_view, 13> kSchemes = {
        "bearer", "basic", "digest", "token", "negotiate",        "ntlm",  "apikey",
        "jwt",    "hawk",  "oauth",  "key",   "aws4_hmac_sha256", "splunk"};
    return std::ranges::find(kSchemes, Normal(word).text()) != kSchemes.end();
}

bool has_parameters(std::string_view scheme) {
    constexpr std::array<std::string_view, 4> kSchemes = {"digest", "hawk", "oauth", "aws4_hmac_sha256"};
    return std::ranges::find(kSchemes, Normal(scheme).text()) != kSchemes.end();
}

const ToolRule* find_tool(std::string_view name) {
    if (name == "login") return nullptr;
    const auto* it = std::ranges::find(kRules, name, &ToolRule::tool);
    return it == kRules.end() ? nullptr : it;
}

const ToolRule* find_rule(std::string_view tool, char option) {
    for (const ToolRule& rule : kRules)
        if (rule.tool == tool && rule.option == option) return &rule;
    return nullptr;
}

bool has_login(std::string_view tool) {
    constexpr std::array<std::string_view, 9> kTools = {"docker", "podman", "nerdctl", "buildah", "skopeo",
                                                        "helm",   "oras",   "crane",   "az"};
    return std::ranges::find(kTools, tool) != kTools.end();
}

std::size_t token_length(std::string_view text, bool fresh) {
    switch (text.front()) {
        case 'e': return fresh ? jwt_length(text) : 0;
        case 'A':
            if (const std::size_t length = aws_length(text)) return length;
            break;
        case 'g':
        case 's':
        case 'r':
        case 'x':
        case 'n':
        case 'h':
        case 'p':
        case 'd': break;
        default: return 0;
    }
    for (const Shape& shape : kShapes)
        if (const std::size_t length = shape_length(shape, text)) return length;
    return 0;
}

}  // namespace substrate::trace
