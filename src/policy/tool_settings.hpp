#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// The hosts that the settings of package tools name: registries, indexes, mirrors, remotes. Pure.
namespace substrate::policy {

// How a file of settings is written.
enum class SettingsForm : std::uint8_t {
    ini,     // "[section]" or "[section \"name\"]", "key = value"; TOML as far as it looks like that
    fields,  // "Key: value", as deb822(5)
    words,   // "key word word", as sources.list(5)
    names,   // "name:" at the beginning of a line is the value; its key is "name"
    quoted,  // program text: the first quoted text behind a key
};
bool read_settings_form(std::string_view text, SettingsForm& form);

// Which settings count. A key of an ini file is "section.key" or "section.name.key", and a section's name
// itself has the key "section"; '*' stands for any text.
struct SettingsQuery {
    SettingsForm form = SettingsForm::ini;
    std::vector<std::string> keys;
    bool bare = false;  // a value may be a host alone: it is meant with port 443
};

// Entries for `net.allowed`, "HOST:PORT" each and each once, in the order of the text. Of URLs only host and
// port are looked at: what a URL holds besides (passwords) goes nowhere. What is no host, and every address
// with a special purpose (loopback, private, …), is left out: such networks are opened by name only.
std::vector<std::string> hosts_in_settings(std::string_view text, const SettingsQuery& query);

}  // namespace substrate::policy
