#include "policy/fs_access.hpp"

#include <algorithm>
#include <optional>

#include "base/paths.hpp"

namespace substrate::policy {
namespace {

// nullopt, and a sentence in `problems`, for what names no one place.
std::optional<std::string> expanded(std::string_view list, const std::string& entry,
                                    const PatternValues& values, std::vector<std::string>& problems) {
    // What a value has in it is no pattern.
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
    if (rest.find_first_of("*?[") != std::string::npos || has_dot_dot(rest)) {
        problems.push_back(std::string(list) + " \"" + entry +
                           "\" is not enforced by worlds: it is a pattern, and they take paths");
        return std::nullopt;
    }
    return normalized(value + rest);
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
    access.hidden = all_of("fs.deny", policy.fs.deny, values, problems);
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
    join(one.unenforced, other.unenforced);
    return one;
}

}  // namespace substrate::policy
