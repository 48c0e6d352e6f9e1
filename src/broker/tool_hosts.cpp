#include "broker/tool_hosts.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/paths.hpp"
#include "base/text.hpp"
#include "broker/shipped_policies.hpp"
#include "codec/digest.hpp"
#include "codec/yaml_value.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"

namespace substrate::broker {
namespace {

constexpr std::string_view kHome = "$HOME/";
constexpr std::size_t kMostFiles = 256;  // of one directory
constexpr std::size_t kMostReaches = 64;

Error misread(const YamlNode& node, std::string what) {
    return {Errc::invalid, "tool hosts, line " + std::to_string(node.line) + ": " + std::move(what)};
}

Result<std::vector<std::string>> read_list(const YamlNode& place, std::string_view key) {
    std::vector<std::string> list;
    const YamlNode* node = place.find(key);
    if (node == nullptr || node->kind != YamlNode::Kind::sequence)
        return fail(misread(place, "no list of " + std::string(key)));
    for (const YamlNode& item : node->items) list.push_back(item.text);
    return list;
}

Result<std::vector<ToolPlace>> read_places(const YamlNode& tool, std::string_view key) {
    std::vector<ToolPlace> places;
    const YamlNode* list = tool.find(key);
    if (list == nullptr) return places;
    for (const YamlNode& node : list->items) {
        ToolPlace& place = places.emplace_back();
        const YamlNode* form = node.find("form");
        if (form == nullptr || !policy::read_settings_form(form->text, place.query.form))
            return fail(misread(node, "no form that is known"));
        SUB_TRY_ASSIGN(place.query.keys, read_list(node, "keys"));
        SUB_TRY_ASSIGN(place.files, read_list(node, "files"));
        const YamlNode* bare = node.find("bare");
        place.query.bare = bare != nullptr && bare->text == "true";
    }
    return places;
}

}  // namespace

Result<ToolTable> ToolTable::read(std::string_view yaml) {
    const auto node = parse_yaml(yaml);
    if (!node) return fail({Errc::invalid, "tool hosts: " + node.error().message});
    ToolTable table;
    for (const YamlMember& member : node->members) {
        Tool tool{.name = member.key, .settings = {}, .built_in = {}};
        SUB_TRY_ASSIGN(tool.settings, read_places(member.value, "settings"));
        SUB_TRY_ASSIGN(tool.built_in, read_places(member.value, "built_in"));
        table.tools.push_back(std::move(tool));
    }
    return table;
}

CommandReach command_reach(const PolicySet& policies, const std::string& project, const std::string& home) {
    return {project, policies.fs_access({.project = project, .home = home}).writable};
}

ToolHosts::ToolHosts(ToolTable table, Places places) : table_(std::move(table)), places_(std::move(places)) {}

// A table that cannot be read opens nothing; a test holds that the shipped one can.
ToolHosts::ToolHosts(Places places)
    : ToolHosts(ToolTable::read(shipped_tool_hosts()).value_or(ToolTable{}), std::move(places)) {}

bool ToolHosts::wanted(const PolicySet& policies) {
    return std::ranges::any_of(policies.layers(), [](const Layer& layer) {
        const auto& allowed = layer.policy.net.allowed;
        return allowed && std::ranges::any_of(*allowed, [](const std::string& entry) {
                   return entry.starts_with(policy::kPreset);
               });
    });
}

const std::optional<FileStamp>& ToolHosts::note(const std::string& path) {
    const auto [it, added] = stamps_.try_emplace(path);
    if (added) it->second = stamp_of(path);
    return it->second;
}

bool ToolHosts::changed() const {
    return !std::ranges::all_of(stamps_,
                                [](const auto& known) { return stamp_of(known.first) == known.second; });
}

std::vector<std::string> ToolHosts::files_of(const std::string& pattern) {
    const std::string path =
        pattern.starts_with(kHome) ? places_.home + pattern.substr(kHome.size() - 1) : pattern;
    const std::string directory(parent_of(path));
    const std::string_view name = std::string_view(path).substr(path.rfind('/') + 1);
    if (!name.starts_with('*')) return {path};
    std::vector<std::string> files;
    if (!note(directory)) return files;
    const auto fd = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
    if (!fd) return files;
    sys::DirectoryReader reader(fd->get());
    for (auto entry = reader.next(); entry && *entry != nullptr && files.size() < kMostFiles;
         entry = reader.next())
        if ((*entry)->view().ends_with(name.substr(1)))
            files.push_back(directory + "/" + std::string((*entry)->view()));
    std::ranges::sort(files);
    return files;
}

std::vector<ToolHosts::File> ToolHosts::read_place(const ToolPlace& place) {
    std::vector<File> read;
    for (const std::string& pattern : place.files)
        for (const std::string& path : files_of(pattern)) {
            if (!note(path)) continue;
            File file{.path = path, .real_path = sys::resolve_links(path), .hosts = {}, .problem = {}};
            const auto text = read_policy_file(path, Ground::own, places_.uid);
            if (!text) {
                file.problem = text.error().message();
                // Of one that is being written the next call sees more.
                if (text.error().code() == Errc::conflict) stamps_[path].reset();
            } else if (*text) file.hosts = policy::hosts_in_settings((*text)->text, place.query);
            read.push_back(std::move(file));
        }
    return read;
}

void ToolHosts::read_all() {
    stamps_.clear();
    tools_.clear();
    made_.clear();
    for (const ToolTable::Tool& tool : table_.tools) {
        Tool& read = tools_.emplace_back();
        read.name = tool.name;
        for (const ToolPlace& place : tool.settings)
            std::ranges::move(read_place(place), std::back_inserter(read.settings));
        for (const ToolPlace& place : tool.built_in)
            std::ranges::move(read_place(place), std::back_inserter(read.built_in));
    }
    known_ = true;
}

std::shared_ptr<const ToolHosts::Read> ToolHosts::read(const CommandReach& reach) {
    const std::scoped_lock lock(mutex_);
    if (!known_ || changed()) read_all();
    std::string key = reach.project;
    for (const std::string& path : reach.writable) key.append(1, '\0').append(path);
    if (made_.size() >= kMostReaches) made_.clear();
    std::shared_ptr<const Read>& made = made_[key];
    if (made) return made;

    const auto in_reach = [&](const std::string& path) {
        return is_within(path, reach.project) ||
               std::ranges::any_of(reach.writable,
                                   [&](const std::string& root) { return is_within(path, root); });
    };
    auto read = std::make_shared<Read>();
    std::set<std::string> ignored;
    std::string all;
    for (const Tool& tool : tools_) {
        std::vector<policy::PresetHost>& hosts = read->hosts[tool.name];
        for (const auto* files : {&tool.settings, &tool.built_in}) {
            if (!hosts.empty()) break;
            for (const File& file : *files) {
                if (!file.problem.empty()) ignored.insert("not believed: " + file.problem);
                else if (in_reach(file.path) || in_reach(file.real_path))
                    ignored.insert("not believed: '" + printable(file.path) +
                                   "' can be written by commands here");
                else
                    for (const std::string& entry : file.hosts) hosts.push_back({entry, file.path});
            }
        }
        for (const policy::PresetHost& host : hosts)
            all += tool.name + "\n" + host.entry + "\n" + host.source + "\n";
    }
    read->ignored.assign(ignored.begin(), ignored.end());
    read->fingerprint = sha256_hex(all);
    return made = std::move(read);
}

}  // namespace substrate::broker
