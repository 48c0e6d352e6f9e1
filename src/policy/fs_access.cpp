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

// nullopt, and a sentence in `problems`, for what names no one place.
std::optional<std::string> expanded(std::string_view list, const std::string& entry,
                                    const PatternValues& values, std::vector<std::string>& problems) {
    auto place = with_values(list, entry, values, problems);
    if (!place) return std::nullopt;
    if (has_glob(place->rest) || has_dot_dot(place->rest)) {
        problems.push_back(not_enforced(list, entry, "it is a pattern, and this list takes paths"));
        return std::nullopt;
    }
    return normalized(place->value + place->rest);
}

// Paths and patterns: what is shown empty, and what is refused by name.
void read_denied(FsAccess& access, const std::vector<std::string>& entries, const PatternValues& values) {
    for (const std::string& entry : entries) {
        auto place = with_values("fs.deny", entry, values, access.unenforced);
        if (!place) continue;
        if (has_dot_dot(place->rest)) {
            access.unenforced.push_back(not_enforced("fs.deny", entry, "it has a component \"..\""));
        } else if (!has_glob(place->rest)) {
            access.hidden.push_back(normalized(place->value + place->rest));
        } else {
            std::string pattern = normalized(literal_pattern(place->value) + place->rest);
            if (const auto usable = PathPatterns::compile({pattern}); !usable)
                access.unenforced.push_back(not_enforced("fs.deny", entry, usable.error().message()));
            else access.denied.push_back(std::move(pattern));
        }
    }
    for (std::vector<std::string>* list : {&access.hidden, &access.denied}) {
        std::ranges::sort(*list);
        list->erase(std::ranges::unique(*list).begin(), list->end());
    }
}

std::vector<std::string> all_of(std::string_view list, const std::vector<std::string>& entries,
                                const PatternValues& values, std::vector<std::string>& problems) {
    std::vector<std::string> paths;
    for (const std::string& entry : entries)
        if (auto path = expanded(list, entry, values, problems)) paths.push_back(std::move(*path));
    std::ranges::sort(paths);
    paths.erase(std::ranges::unique(paths).begin(), paths.end());
    return paths;
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
    std::ranges::sort(paths);
    paths.erase(std::ranges::unique(paths).begin(), paths.end());
    return paths;
}

void join(std::vector<std::string>& into, const std::vector<std::string>& more) {
    into.insert(into.end(), more.begin(), more.end());
    std::ranges::sort(into);
    into.erase(std::ranges::unique(into).begin(), into.end());
}

}  // namespace

FsAccess fs_access_of(const Policy& policy, const PatternValues& values) {
    FsAccess access;
    access.mode = policy.world_fs.mode;
    access.isolation = policy.world_fs.isolation;
    std::vector<std::string>& problems = access.unenforced;
    const bool full = access.isolation == WorldFsIsolation::full;
    const std::string project(values.project);
    access.required = policy.world_fs.require_world;
    read_denied(access, policy.fs.deny, values);
    std::vector<std::string> read = all_of("fs.read", policy.fs.read, values, problems);
    const bool reads_all = read.empty() || covered("/", read);
    if (full) {
        access.readable = all_of("world_fs.read_allowlist", policy.world_fs.read_allowlist, values, problems);
        if (!reads_all) join(access.readable, read);
        access.writable =
            all_of("world_fs.write_allowlist", policy.world_fs.write_allowlist, values, problems);
        access.project_writable = false;
    } else {
        if (!reads_all) problems.emplace_back("fs.read holds nothing back: world_fs.isolation is not full");
        if (!policy.fs.write.empty()) {
            access.writable = all_of("fs.write", policy.fs.write, values, problems);
            access.project_writable = covered(project, access.writable);
        }
    }
    if (access.mode == WorldFsMode::read_only) {
        access.project_writable = false;
        access.writable.clear();
    }
    return access;
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
