#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "broker/places.hpp"
#include "broker/policy_file.hpp"
#include "broker/policy_set.hpp"
#include "policy/net_access.hpp"
#include "policy/tool_settings.hpp"

namespace substrate::broker {

// Which files of settings name the hosts of one preset.
struct ToolPlace {
    policy::SettingsQuery query;
    std::vector<std::string> files;  // with $HOME; a last name that begins with '*': all that end so
};
struct ToolTable {
    struct Tool {
        std::string name;
        std::vector<ToolPlace> settings;
        std::vector<ToolPlace> built_in;  // count where the settings name no host
    };
    std::vector<Tool> tools;
    // The form of packaging/tool_hosts.yaml.
    static Result<ToolTable> read(std::string_view yaml);
};

// Commands that these settings must not come from: what they can write decides nothing.
struct CommandReach {
    std::string project;                // host path, without links
    std::vector<std::string> writable;  // the same
};
CommandReach command_reach(const PolicySet& policies, const std::string& project, const std::string& home);

// The hosts behind `preset:NAME`, read from the settings of this account and this machine. A project's own
// settings are not among them. What belongs to others, can be written by others or by the command itself, is
// left out. Looks for changes at each call. Thread-safe.
class ToolHosts {
  public:
    ToolHosts(ToolTable table, Places places);
    // With the shipped table.
    explicit ToolHosts(Places places);

    struct Read {
        policy::PresetHosts hosts;         // every preset of the table, also with none
        std::vector<std::string> ignored;  // files that are there and do not count, one sentence each
        std::string fingerprint;           // differs where the hosts do
    };
    std::shared_ptr<const Read> read(const CommandReach& reach);

    // Whether a policy of the set names one.
    static bool wanted(const PolicySet& policies);

  private:
    struct File {
        std::string path, real_path;
        std::vector<std::string> hosts;
        std::string problem;
    };
    struct Tool {
        std::string name;
        std::vector<File> settings, built_in;
    };
    bool changed() const;
    void read_all();
    std::vector<File> read_place(const ToolPlace& place);
    std::vector<std::string> files_of(const std::string& pattern);
    const std::optional<FileStamp>& note(const std::string& path);

    ToolTable table_;
    Places places_;
    std::mutex mutex_;
    bool known_ = false;
    std::map<std::string, std::optional<FileStamp>> stamps_;  // of everything that was looked for
    std::vector<Tool> tools_;
    std::map<std::string, std::shared_ptr<const Read>> made_;  // by reach
};

}  // namespace substrate::broker
