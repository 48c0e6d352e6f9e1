#include "policy/tool_settings.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "policy/host_name.hpp"

namespace substrate::policy {
namespace {

constexpr std::string_view kSpace = " \t\r";

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(kSpace);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view unquoted(std::string_view text) {
    for (const char quote : {'"', '\''})
        if (text.size() >= 2 && text.front() == quote && text.back() == quote)
            return text.substr(1, text.size() - 2);
    return text;
}

bool matches(std::string_view pattern, std::string_view text) {
    const auto star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == text;
    if (!text.starts_with(pattern.substr(0, star))) return false;
    pattern.remove_prefix(star + 1);
    for (std::size_t at = star; at <= text.size(); ++at)
        if (matches(pattern, text.substr(at))) return true;
    return false;
}

constexpr std::size_t kLongestKey = 256;

bool wanted(const SettingsQuery& query, std::string_view key) {
    if (key.size() > kLongestKey) return false;
    return std::ranges::any_of(query.keys, [&](const std::string& pattern) { return matches(pattern, key); });
}

// What has a port of its own. Others are not known to be any tool's.
std::optional<std::uint16_t> port_of_scheme(std::string_view scheme) {
    // cargo and pip name the kind of what is there in front: "sparse+https".
    const auto plus = scheme.rfind('+');
    if (plus != std::string_view::npos) scheme.remove_prefix(plus + 1);
    static constexpr std::array<std::pair<std::string_view, std::uint16_t>, 4> kPorts = {
        {{"https", 443}, {"http", 80}, {"ssh", 22}, {"git", 9418}}};
    const auto* const found =
        std::ranges::find(kPorts, scheme, &std::pair<std::string_view, std::uint16_t>::first);
    return found == kPorts.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> entry_of(std::string_view authority, std::uint16_t usual_port) {
    const auto at = authority.rfind('@');
    if (at != std::string_view::npos) authority.remove_prefix(at + 1);
    std::string text(authority);
    const auto colon = text.rfind(':');
    const bool has_port = colon != std::string::npos && (text.front() != '[' || text[colon - 1] == ']');
    if (!has_port) text += ":" + std::to_string(usual_port);
    else if (colon + 1 == text.size()) text += std::to_string(usual_port);
    const auto host = read_host_port(text);
    if (!host) return std::nullopt;
    const auto* address = std::get_if<IpAddress>(&host->host);
    if (address != nullptr && !special_purpose(*address).empty()) return std::nullopt;
    const std::string name = to_text(host->host);
    const bool brackets = address != nullptr && !address->is_v4();
    return (brackets && !name.starts_with('[') ? "[" + name + "]" : name) + ":" + std::to_string(host->port);
}

std::optional<std::string> entry_in(std::string_view word, bool bare) {
    word = unquoted(word);
    // Readers of URLs do not agree on what it means.
    if (word.find('\\') != std::string_view::npos) return std::nullopt;
    const auto scheme = word.find("://");
    if (scheme != std::string_view::npos) {
        const auto port = port_of_scheme(word.substr(0, scheme));
        word.remove_prefix(scheme + 3);
        word = word.substr(0, word.find_first_of("/?#"));
        return port ? entry_of(word, *port) : std::nullopt;
    }
    // "git@host:path", as ssh writes it.
    const auto at = word.find('@');
    const auto colon = word.find(':', at == std::string_view::npos ? 0 : at);
    if (at != std::string_view::npos && colon != std::string_view::npos &&
        word.substr(0, colon).find('/') == std::string_view::npos)
        return entry_of(word.substr(at + 1, colon - at - 1), 22);
    if (bare && word.find('.') != std::string_view::npos) return entry_of(word, 443);
    return std::nullopt;
}

class Finder {
  public:
    explicit Finder(const SettingsQuery& query) : query_(query) {}
    void value(std::string_view key, std::string_view text) {
        if (!wanted(query_, key)) return;
        constexpr std::string_view kBetween = " \t\r,|";
        for (std::size_t begin = 0; begin < text.size();) {
            const std::size_t end = std::min(text.find_first_of(kBetween, begin), text.size());
            if (auto entry = entry_in(text.substr(begin, end - begin), query_.bare)) add(std::move(*entry));
            begin = end + 1;
        }
    }
    std::vector<std::string> take() { return std::move(found_); }

  private:
    void add(std::string entry) {
        if (std::ranges::find(found_, entry) == found_.end()) found_.push_back(std::move(entry));
    }
    const SettingsQuery& query_;
    std::vector<std::string> found_;
};

// "[name]" and "[name \"other\"]" as "name" and "name.other"; the other alone too, since git keeps URLs
// there.
void read_section(std::string_view line, std::string& section, Finder& finder) {
    const auto end = line.rfind(']');
    if (end == std::string_view::npos) {
        section.clear();
        return;
    }
    line = trimmed(line.substr(1, end - 1));
    const auto quote = line.find('"');
    section = trimmed(line.substr(0, quote));
    if (quote == std::string_view::npos) return;
    const std::string_view name = unquoted(line.substr(quote));
    finder.value(section, name);
    section.append(".").append(name);
}

void read_ini(std::string_view line, std::string& section, std::string& key, Finder& finder) {
    const std::string_view text = trimmed(line);
    if (text.empty() || text.front() == '#' || text.front() == ';') return;
    if (text.front() == '[') {
        key.clear();
        return read_section(text, section, finder);
    }
    const auto equals = text.find('=');
    // A value goes on in lines that are further in, as pip's do.
    const bool goes_on = kSpace.find(line.front()) != std::string_view::npos && !key.empty() &&
                         (equals == std::string_view::npos || text.find("://") < equals);
    if (goes_on) return finder.value(key, text);
    if (equals == std::string_view::npos) return;
    key = trimmed(text.substr(0, equals));
    if (!section.empty()) key = section + "." + key;
    finder.value(key, unquoted(trimmed(text.substr(equals + 1))));
}

void read_fields(std::string_view line, std::string& key, Finder& finder) {
    if (line.starts_with('#')) return;
    if (line.empty() || kSpace.find(line.front()) != std::string_view::npos) return finder.value(key, line);
    const auto colon = line.find(':');
    key = trimmed(line.substr(0, colon));
    if (colon != std::string_view::npos) finder.value(key, line.substr(colon + 1));
}

void read_words(std::string_view line, Finder& finder) {
    const std::string_view text = trimmed(line.substr(0, line.find('#')));
    const auto end = std::min(text.find_first_of(kSpace), text.size());
    finder.value(text.substr(0, end), text.substr(end));
}

void read_names(std::string_view line, Finder& finder) {
    if (line.empty() || line.front() == '#' || kSpace.find(line.front()) != std::string_view::npos) return;
    const auto colon = line.find(':');
    if (colon != std::string_view::npos) finder.value("name", line.substr(0, colon));
}

void read_quoted(std::string_view text, const SettingsQuery& query, Finder& finder) {
    constexpr std::string_view kQuotes = "'\"`";
    for (const std::string& key : query.keys) {
        const auto found = text.find(key);
        if (found == std::string_view::npos) continue;
        const auto begin = text.find_first_of(kQuotes, found + key.size());
        if (begin == std::string_view::npos) continue;
        const auto end = text.find(text[begin], begin + 1);
        if (end != std::string_view::npos) finder.value(key, text.substr(begin + 1, end - begin - 1));
    }
}

}  // namespace

bool read_settings_form(std::string_view text, SettingsForm& form) {
    static constexpr std::array<std::pair<std::string_view, SettingsForm>, 5> kForms = {
        {{"ini", SettingsForm::ini},
         {"fields", SettingsForm::fields},
         {"words", SettingsForm::words},
         {"names", SettingsForm::names},
         {"quoted", SettingsForm::quoted}}};
    const auto* const found =
        std::ranges::find(kForms, text, &std::pair<std::string_view, SettingsForm>::first);
    if (found == kForms.end()) return false;
    form = found->second;
    return true;
}

std::vector<std::string> hosts_in_settings(std::string_view text, const SettingsQuery& query) {
    Finder finder(query);
    if (query.form == SettingsForm::quoted) {
        read_quoted(text, query, finder);
        return finder.take();
    }
    std::string section, key;
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string_view line = text.substr(begin, end - begin);
        begin = end + 1;
        switch (query.form) {
            case SettingsForm::ini: read_ini(line, section, key, finder); break;
            case SettingsForm::fields: read_fields(line, key, finder); break;
            case SettingsForm::words: read_words(line, finder); break;
            default: read_names(line, finder); break;
        }
    }
    return finder.take();
}

}  // namespace substrate::policy
