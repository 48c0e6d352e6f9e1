#include "world/cgroup_ground.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/paths.hpp"
#include "sys/file.hpp"

namespace substrate::world {
namespace {

struct Mount {
    std::string_view id, parent;
    std::string root;  // the group that is to be seen at `point`
    std::string point;
    bool read_only = false;
    std::string_view type;
    std::vector<std::string_view> options;  // of the superblock: the controllers, in version 1
};

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t end = std::min(text.find(separator, begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

bool contains(const std::vector<std::string_view>& words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

// \040 and the like: the kernel writes space, tab, newline and backslash so.
std::string unescape_octal(std::string_view text) {
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
            octal(text[i + 3])) {
            plain +=
                static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else plain += text[i];
    }
    return plain;
}

// id parent major:minor root point options [optional…] - type source superblock-options
std::vector<Mount> all_mounts(std::string_view mountinfo) {
    std::vector<Mount> mounts;
    for (const std::string_view line : split(mountinfo, '\n')) {
        const auto fields = split(line, ' ');
        const auto dash = std::ranges::find(fields, std::string_view("-"));
        if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
        mounts.push_back({.id = fields[0],
                          .parent = fields[1],
                          .root = unescape_octal(fields[3]),
                          .point = unescape_octal(fields[4]),
                          .read_only = contains(split(fields[5], ','), "ro"),
                          .type = dash[1],
                          .options = split(dash[3], ',')});
    }
    return mounts;
}

// Whether the path of a mount leads elsewhere: to a mount on top of it, or to one over a
// directory that it lies in, itself or a mount that it is on.
bool is_hidden(const Mount& mount, const std::vector<Mount>& mounts) {
    for (const Mount& other : mounts)
        if (other.parent == mount.id && other.point == mount.point && other.id != mount.id) return true;
    const Mount* child = &mount;
    for (std::size_t depth = 0; depth < mounts.size(); ++depth) {  // text may hold a circle
        for (const Mount& other : mounts)
            if (other.parent == child->parent && other.point != child->point &&
                is_within(child->point, other.point) && other.id != other.parent)
                return true;
        const auto parent = std::ranges::find(mounts, child->parent, &Mount::id);
        if (parent == mounts.end() || &*parent == child) return false;
        child = &*parent;
    }
    return false;
}

std::vector<Mount> cgroup_mounts(std::string_view mountinfo) {
    const auto mounts = all_mounts(mountinfo);
    std::vector<Mount> found;
    for (const Mount& mount : mounts)
        if ((mount.type == "cgroup" || mount.type == "cgroup2") && !is_hidden(mount, mounts))
            found.push_back(mount);
    return found;
}

// The group that worlds' groups go below, for a process in `group`.
std::string without_leaf(std::string group) {
    const std::string leaf = std::string("/") + kCgroupParent + "/" + kCgroupAgentLeaf;
    if (group.ends_with(leaf)) group.resize(group.size() - leaf.size());
    return group.empty() ? "/" : group;
}

bool is_unified(const Mount& mount) { return mount.type == "cgroup2"; }

template <class Shows>
CgroupPlace find_place(const std::vector<Mount>& mounts, std::string_view own, const Shows& shows) {
    const std::string group = without_leaf(std::string(own));
    CgroupPlace place;
    bool mounted = false;
    for (const Mount& mount : mounts) {
        if (!shows(mount)) continue;
        mounted = true;
        // "..": above the root of our cgroup namespace. What lies there has no name for us.
        if (has_dot_dot(mount.root) || has_dot_dot(group) || !is_within(group, mount.root)) continue;
        if (!place.directory.empty() && (!place.read_only || mount.read_only)) continue;
        const std::string below = mount.root == "/" ? group : group.substr(mount.root.size());
        place.directory = normalized(mount.point + "/" + below);
        place.read_only = mount.read_only;
    }
    if (place.directory.empty())
        place.problem =
            mounted ? "no mount shows our group '" + std::string(own) + "'" : "its hierarchy is not mounted";
    return place;
}

}  // namespace

const char* to_string(CgroupController controller) {
    switch (controller) {
        case CgroupController::cpu: return "cpu";
        case CgroupController::memory: return "memory";
        case CgroupController::pids: return "pids";
        case CgroupController::freezer: return "freezer";
        case CgroupController::io: return "io";
    }
    return "unknown";
}

const char* v1_name(CgroupController controller) {
    return controller == CgroupController::io ? "blkio" : to_string(controller);
}

CgroupGround locate_cgroups(std::string_view mountinfo, std::string_view self_cgroup) {
    const auto mounts = cgroup_mounts(mountinfo);
    CgroupGround ground;
    // hierarchy:controllers:group; the group may hold colons.
    for (const std::string_view line : split(self_cgroup, '\n')) {
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string_view group = line.substr(second + 1);
        const std::string_view listed = line.substr(first + 1, second - first - 1);
        if (listed.empty()) {
            auto place = find_place(mounts, group, is_unified);
            const bool mounted = std::ranges::any_of(mounts, is_unified);
            if (mounted) ground.unified = std::move(place);
            continue;
        }
        const auto controllers = split(listed, ',');
        for (std::size_t i = 0; i < kCgroupControllers; ++i) {
            const char* name = v1_name(static_cast<CgroupController>(i));
            if (!contains(controllers, name)) continue;
            ground.v1[i] = find_place(mounts, group, [&](const Mount& mount) {
                return !is_unified(mount) && contains(mount.options, name);
            });
        }
    }
    return ground;
}

Result<CgroupGround> find_cgroup_ground() {
    auto groups = sys::read_file("/proc/self/cgroup");
    if (!groups && groups.error().os_errno() == ENOENT) return CgroupGround{};  // a kernel without them
    if (!groups) return fail(std::move(groups).error());
    SUB_TRY_ASSIGN(const std::string mounts, sys::read_file("/proc/self/mountinfo"));
    CgroupGround ground = locate_cgroups(mounts, *groups);
    ground.movable = {::getpid()};
    return ground;
}

std::vector<std::string> controllers_of(const CgroupGround& ground) {
    std::string unified;
    if (ground.unified && !ground.unified->directory.empty())
        unified = sys::read_file(ground.unified->directory + "/cgroup.controllers").value_or("");
    while (unified.ends_with('\n')) unified.pop_back();
    const auto delegated = split(unified, ' ');
    std::vector<std::string> names;
    for (std::size_t i = 0; i < kCgroupControllers; ++i) {
        const auto controller = static_cast<CgroupController>(i);
        const auto& place = ground.of(controller);
        const bool own = place && !place->directory.empty() && !place->read_only;
        if (own || contains(delegated, to_string(controller))) names.emplace_back(to_string(controller));
    }
    return names;
}

}  // namespace substrate::world
