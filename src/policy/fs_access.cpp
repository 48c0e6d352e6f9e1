#include "policy/fs_access.hpp"

#include <algorithm>
#include <optional>

#include "base/path_pattern.hpp"
#include "base/paths.hpp"

namespace substrate::policy {
namespace {

// An entry with its value: what that has in it is no pattern.
struct Expanded {
    std::string value;
    std::string rest;
};

// nullopt, and a sentence in `problems`, for what names no place.
std::optional<Expanded> with_values(std::string_view list, const std::string& entry,
                                    const PatternValues& values, std::vector<std::string>& problems) {
    std::string value, rest = entry;
    for (const auto& [name, with] :
         {std::pair<std::string_view, std::string_view>{"$PROJECT", values.project},
          {"${PROJECT}", values.project},
          {"$HOME", values.home},
          {"${HOME}", values.home},
          {"~", values.home}}) {
        const bool named =
            entry.starts_with(name) && (entry.size() == name.size() || entry[name.size()] == '/');
        if (!named) continue;
        if (with.empty()) {
            problems.push_back(std::string(list) + " \"" + entry +
                               "\" holds nothing: no home directory is known");
            return std::nullopt;
        }
        value = with;
        rest = entry.substr(name.size());
        break;
    }
    for (const std::string_view end : {"/**", "/*"})
        if (rest.ends_with(end)) rest.resize(rest.size() - end.size());
    if (value.empty() && rest.empty()) rest = "/";
    if (value.empty() && !rest.starts_with('/')) value = std::string(values.project) + "/";
    return Expanded{std::move(value), std::move(rest)};
}

std::string not_enforced(std::string_view list, const std::string& entry, std::string_view why) {
    return std::string(list) + " \"" + entry + "\" is not enforced by worlds: " + std::string(why);
}

void settle(std::vector<std::string>& list) {
    std::ranges::sort(list);
    list.erase(std::ranges::unique(list).begin(), list.end());
}

// What the entries of a list name: one place each, or by a pattern.
struct Entries {
    struct Pattern {
        std::string_view list;
        std::string entry;
        std::string pattern;
        std::string head;  // the directory that all it names lies in
    };
    std::vector<std::string> paths;
    std::vector<Pattern> patterns;
};

// A sentence in `problems` for each that names nothing.
void read_entries(Entries& into, std::string_view list, const std::vector<std::string>& entries,
                  const PatternValues& values, std::vector<std::string>& problems) {
    for (const std::string& entry : entries) {
        auto place = with_values(list, entry, values, problems);
        if (!place) continue;
        if (has_dot_dot(place->rest)) {
            problems.push_back(not_enforced(list, entry, "it has a component \"..\""));
        } else if (!has_glob(place->rest)) {
            into.paths.push_back(normalized(place->value + place->rest));
        } else {
            std::string pattern = normalized(literal_pattern(place->value) + place->rest);
            if (const auto usable = PathPatterns::compile({pattern}); !usable)
                problems.push_back(not_enforced(list, entry, usable.error().message()));
            else into.patterns.push_back({list, entry, std::move(pattern), usable->heads().front()});
        }
    }
    settle(into.paths);
}

// Paths and patterns: what is shown empty, and what is refused by name.
void read_denied(FsAccess& access, const std::vector<std::string>& entries, const PatternValues& values) {
    Entries read;
    read_entries(read, "fs.deny", entries, values, access.unenforced);
    access.hidden = std::move(read.paths);
    for (Entries::Pattern& each : read.patterns) access.denied.push_back(std::move(each.pattern));
    settle(access.denied);
}

bool covered(const std::string& path, const std::vector<std::string>& list) {
    return std::ranges::any_of(list, [&](const std::string& of) { return is_within(path, of); });
}

// What is below an entry of both.
std::vector<std::string> meet(const std::vector<std::string>& one, const std::vector<std::string>& other) {
    std::vector<std::string> paths;
    for (const std::string& path : one)
        if (covered(path, other)) paths.push_back(path);
    for (const std::string& path : other)
        if (covered(path, one)) paths.push_back(path);
    settle(paths);
    return paths;
}

void join(std::vector<std::string>& into, const std::vector<std::string>& more) {
    into.insert(into.end(), more.begin(), more.end());
    settle(into);
}

// What the patterns of `read` open beside its paths: the directories they begin with, and the rule that
// holds below `governed`, or below those directories where it is empty.
void open_patterns(Entries& read, const std::vector<Entries::Pattern>& patterns,
                   const std::vector<std::string>& governed, std::vector<FsRule>& rules) {
    FsRule rule{.below = governed, .patterns = {}};
    std::vector<std::string> heads;
    for (const Entries::Pattern& each : patterns) {
        if (covered(each.head, read.paths)) continue;  // it opens nothing more
        rule.patterns.push_back(each.pattern);
        heads.push_back(each.head);
    }
    if (rule.patterns.empty()) return;
    settle(heads);
    if (governed.empty()) rule.below = heads;
    for (const std::string& path : read.paths)
        if (covered(path, rule.below)) rule.patterns.push_back(literal_pattern(path));
    settle(rule.patterns);
    join(read.paths, heads);
    rules.push_back(std::move(rule));
}

// Elsewhere than in the project a command's writes are the host's at once: there mounts hold, and
// they know no patterns.
void open_writing(FsAccess& access, std::string_view list, const std::vector<std::string>& entries,
                  const PatternValues& values) {
    const std::string project(values.project);
    Entries read;
    read_entries(read, list, entries, values, access.unenforced);
    std::vector<Entries::Pattern> inside;
    for (Entries::Pattern& each : read.patterns) {
        if (is_within(each.head, project)) inside.push_back(std::move(each));
        else
            access.unenforced.push_back(not_enforced(
                list, each.entry, "outside the project only paths open something; name the directory"));
    }
    if (!covered(project, read.paths)) open_patterns(read, inside, {project}, access.write_rules);
    access.writable = std::move(read.paths);
}

void open_reading(FsAccess& access, const Policy& policy, const PatternValues& values) {
    const std::string project(values.project);
    std::vector<std::string>& problems = access.unenforced;
    Entries read;
    read_entries(read, "fs.read", policy.fs.read, values, problems);
    const bool reads_all = (read.paths.empty() && read.patterns.empty()) || covered("/", read.paths);
    if (access.isolation != WorldFsIsolation::full) {
        if (!reads_all) problems.emplace_back("fs.read holds nothing back: world_fs.isolation is not full");
        return;
    }
    if (reads_all) read = {};
    read_entries(read, "world_fs.read_allowlist", policy.world_fs.read_allowlist, values, problems);
    std::vector<Entries::Pattern> beside;
    for (Entries::Pattern& each : read.patterns) {
        if (is_within(each.head, project)) continue;  // which can be read
        if (is_within(project, each.head))
            problems.push_back(not_enforced(each.list, each.entry,
                                            "it begins with no directory, or one that holds the project"));
        else beside.push_back(std::move(each));
    }
    open_patterns(read, beside, {}, access.read_rules);
    access.readable = std::move(read.paths);
}

void join(std::vector<FsRule>& into, const std::vector<FsRule>& more) {
    for (const FsRule& rule : more)
        if (std::ranges::find(into, rule) == into.end()) into.push_back(rule);
}

}  // namespace

FsAccess fs_access_of(const Policy& policy, const PatternValues& values) {
    FsAccess access;
    access.mode = policy.world_fs.mode;
    access.isolation = policy.world_fs.isolation;
    const bool full = access.isolation == WorldFsIsolation::full;
    access.required = policy.world_fs.require_world;
    read_denied(access, policy.fs.deny, values);
    open_reading(access, policy, values);
    if (full) open_writing(access, "world_fs.write_allowlist", policy.world_fs.write_allowlist, values);
    else if (!policy.fs.write.empty()) open_writing(access, "fs.write", policy.fs.write, values);
    if (full || !policy.fs.write.empty())
        access.project_writable = covered(std::string(values.project), access.writable);
    if (access.mode == WorldFsMode::read_only) {
        access.project_writable = false;
        access.writable.clear();
        access.write_rules.clear();
    }
    return access;
}

std::vector<std::string> named_sockets(const std::vector<std::string>& entries, const PatternValues& values,
                                       std::vector<std::string>& problems) {
    std::vector<std::string> sockets;
    for (const std::string& entry : entries) {
        auto place = with_values("net.unix", entry, values, problems);
        if (!place) continue;
        const bool absolute = entry.starts_with('/') || entry.starts_with('~') || entry.starts_with('$');
        const bool one = !has_glob(place->rest) && !has_dot_dot(place->rest) && !entry.ends_with('*');
        if (!absolute || !one) {
            problems.push_back("net.unix \"" + entry +
                               "\" opens nothing: it is not the full path of one socket");
            continue;
        }
        std::string path = normalized(place->value + place->rest);
        // The same place on every system of today (Filesystem Hierarchy Standard 3.0).
        if (is_within(path, "/var/run")) path = path.substr(std::string_view("/var").size());
        sockets.push_back(std::move(path));
    }
    settle(sockets);
    return sockets;
}

FsAccess both(FsAccess one, const FsAccess& other, std::string_view project) {
    const auto writable_of = [&](const FsAccess& access) {
        std::vector<std::string> paths = access.writable;
        if (access.project_writable) join(paths, {std::string(project)});
        return paths;
    };
    const std::vector<std::string> writable = meet(writable_of(one), writable_of(other));
    const bool one_full = one.isolation == WorldFsIsolation::full;
    const bool other_full = other.isolation == WorldFsIsolation::full;
    if (one_full && other_full) one.readable = meet(one.readable, other.readable);
    else if (other_full) one.readable = other.readable;
    join(one.read_rules, other.read_rules);
    join(one.write_rules, other.write_rules);
    one.mode = std::max(one.mode, other.mode);
    one.isolation = std::max(one.isolation, other.isolation);
    one.project_writable = covered(std::string(project), writable);
    one.writable = writable;
    join(one.hidden, other.hidden);
    join(one.denied, other.denied);
    one.required = one.required || other.required;
    join(one.unenforced, other.unenforced);
    return one;
}

}  // namespace substrate::policy
