#include "broker/policy_reader.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/text.hpp"
#include "broker/shipped_policies.hpp"
#include "codec/digest.hpp"
#include "policy/compiled_policy.hpp"
#include "policy/pattern.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"

namespace substrate::broker {
namespace {

constexpr std::size_t kProblemsShown = 5;
constexpr std::size_t kMostProblems = 100;  // as parse_policy

void check_patterns(PolicyText& read, std::string_view file, const Places& places) {
    const Policy& policy = read.policy;
    // A stand-in: a pattern that is good for one project is for every other.
    const policy::PatternValues values{.project = "/project", .home = places.home};
    const std::array<std::pair<const char*, const std::vector<std::string>*>, 6> lists = {{
        {"/commands/denied", &policy.commands.denied},
        {"/commands/allowed", &policy.commands.allowed},
        {"/commands/isolated", &policy.commands.isolated},
        {"/commands/direct", &policy.commands.direct},
        {"/approval/require", &policy.approval.require},
        {"/approval/auto_approve", &policy.approval.auto_approve},
    }};
    for (const auto& [pointer, list] : lists)
        for (std::size_t i = 0; i < list->size(); ++i) {
            const auto parsed = policy::parse_pattern((*list)[i], values);
            if (parsed) continue;
            if (read.problems.size() >= kMostProblems) return;
            const std::string place = pointer + ("/" + std::to_string(i));
            const auto origin = std::ranges::find(read.origins, place, &PolicyOrigin::pointer);
            read.problems.push_back({.file = std::string(file),
                                     .line = origin == read.origins.end() ? 0 : origin->line,
                                     .column = 1,
                                     .pointer = place,
                                     .message = parsed.error().message()});
        }
    if (!read.ok()) return;
    if (const auto compiled = policy::compile_policy(policy, values); !compiled)
        read.problems.push_back({.file = std::string(file),
                                 .line = 1,
                                 .column = 1,
                                 .pointer = "/commands",
                                 .message = compiled.error().message()});
}

void add_from(const std::string& directory, std::map<std::string, std::string>& known) {
    const auto fd = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
    if (!fd) return;
    sys::DirectoryReader reader(fd->get());
    for (auto entry = reader.next(); entry && *entry != nullptr; entry = reader.next()) {
        const std::string_view name = (*entry)->name;
        if (!name.ends_with(".yaml")) continue;
        const std::string id(name.substr(0, name.size() - 5));
        if (is_policy_id(id)) known.try_emplace(id, directory + "/" + std::string(name));
    }
}

}  // namespace

std::string text_hash(std::string_view text) { return "sha256:" + sha256_hex(text); }

bool is_policy_id(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

Result<std::string> profile_in(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto first = text.find_first_not_of(kSpace);
    const std::string_view name = first == std::string_view::npos
                                      ? std::string_view()
                                      : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
    if (is_policy_id(name)) return std::string(name);
    return fail(Error(Errc::invalid, "'" + printable(name.substr(0, 64)) + "' is not the name of a policy")
                    .hint("write one name of a-z, 0-9 and '-'"));
}

PolicyText check_policy_text(std::string_view text, std::string_view file, const Places& places) {
    PolicyText read = parse_policy(text, file);
    if (read.ok()) check_patterns(read, file, places);
    read.policy.hash = text_hash(text);
    return read;
}

Result<Layer> read_layer(std::string_view text, const std::string& file, std::string_view id,
                         const Places& places) {
    PolicyText read = check_policy_text(text, file, places);
    if (read.ok() && !id.empty() && read.policy.id != id)
        read.problems.push_back(
            {.file = file,
             .line = 1,
             .column = 1,
             .pointer = "/id",
             .message = "is '" + read.policy.id + "', but the file's name says '" + std::string(id) + "'"});
    if (read.ok())
        return Layer{.file = file, .policy = std::move(read.policy), .origins = std::move(read.origins)};
    std::string message;
    for (std::size_t i = 0; i < std::min(read.problems.size(), kProblemsShown); ++i)
        message += (i == 0 ? "" : "; ") + printable(read.problems[i].text());
    if (read.problems.size() > kProblemsShown)
        message += "; and " + std::to_string(read.problems.size() - kProblemsShown) + " more";
    return fail(Error(Errc::invalid, message).hint("substrate policy validate"));
}

std::vector<KnownPolicy> known_policies(const Places& places) {
    std::map<std::string, std::string> known;
    add_from(places.user_policies, known);
    add_from(places.system_policies, known);
    for (const ShippedPolicy& shipped : shipped_policies())
        known.try_emplace(std::string(shipped.id), shipped_name(shipped.id));
    std::vector<KnownPolicy> list;
    list.reserve(known.size());
    for (auto& [id, file] : known) list.push_back({id, std::move(file)});
    return list;
}

std::string shipped_name(std::string_view id) { return "(shipped)/" + std::string(id) + ".yaml"; }

}  // namespace substrate::broker
