#include "replay/compare.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"

namespace substrate::replay {
namespace {

constexpr std::size_t kMostPathsNamed = 5;

std::string describe(const FsEntry& entry) {
    std::string text =
        fmt::format("{} {} mode {:04o}", to_string(entry.kind), to_string(entry.type), entry.mode);
    if (entry.type == FileType::regular) text += fmt::format(" size {}", entry.size);
    if (!entry.link_target.empty()) text += " -> " + entry.link_target;
    if (!entry.renamed_from.empty()) text += " from " + entry.renamed_from;
    return text;
}

// What tree_hash covers too, except that a change of content that keeps the size
// shows in neither.
bool same_change(const FsEntry& a, const FsEntry& b) {
    return a.kind == b.kind && a.type == b.type && a.mode == b.mode && a.link_target == b.link_target &&
           a.renamed_from == b.renamed_from && (a.type == FileType::directory || a.size == b.size);
}

template <class T>
void compare_number(Comparison& result, const char* what, T recorded, T replayed) {
    if (recorded != replayed)
        result.results.push_back({what, std::to_string(recorded), std::to_string(replayed)});
}

void compare_hash(Comparison& result, const char* what, const std::string& recorded,
                  std::uint64_t recorded_bytes, const std::string& replayed, std::uint64_t replayed_bytes) {
    if (recorded.empty() || replayed.empty() || recorded == replayed) return;
    result.results.push_back({what, fmt::format("{} bytes {}", recorded_bytes, recorded),
                              fmt::format("{} bytes {}", replayed_bytes, replayed)});
}

void compare_entries(Comparison& result, const FsDiff& recorded, const FsDiff& replayed,
                     std::size_t max_entries) {
    const auto note = [&](const FsEntry* a, const FsEntry* b) {
        if (++result.differing_entries > max_entries) return;
        result.entries.push_back({(a != nullptr ? a : b)->path, a != nullptr ? describe(*a) : "not changed",
                                  b != nullptr ? describe(*b) : "not changed"});
    };
    auto a = recorded.entries.begin();
    auto b = replayed.entries.begin();
    while (a != recorded.entries.end() || b != replayed.entries.end()) {
        if (b == replayed.entries.end() || (a != recorded.entries.end() && a->path < b->path))
            note(&*a++, nullptr);
        else if (a == recorded.entries.end() || b->path < a->path) note(nullptr, &*b++);
        else {
            if (!same_change(*a, *b)) note(&*a, &*b);
            ++a;
            ++b;
        }
    }
}

void compare_files(Comparison& result, const FsDiff& recorded, const FsDiff& replayed,
                   std::size_t max_entries) {
    const bool hashed = !recorded.tree_hash.empty() && !replayed.tree_hash.empty();
    if (hashed && recorded.tree_hash == replayed.tree_hash) return;
    compare_number(result, "files changed", recorded.files, replayed.files);
    compare_number(result, "directories changed", recorded.dirs, replayed.dirs);
    compare_number(result, "created", recorded.created, replayed.created);
    compare_number(result, "modified", recorded.modified, replayed.modified);
    compare_number(result, "deleted", recorded.deleted, replayed.deleted);
    if (hashed) result.results.push_back({"tree hash", recorded.tree_hash, replayed.tree_hash});
    result.entries_complete = !recorded.truncated && !replayed.truncated;
    // Of two truncated lists each may leave out what the other shows.
    if (result.entries_complete) compare_entries(result, recorded, replayed, max_entries);
}

void note_change(std::vector<std::string>& lines, const char* what, const std::string& recorded,
                 const std::string& now) {
    if (recorded.empty() || now.empty() || recorded == now) return;
    lines.push_back(
        fmt::format("{} changed: {} when recorded, {} now", what, printable(recorded), printable(now)));
}

}  // namespace

Comparison compare(const Span& recorded, const Span& replayed, std::size_t max_entries) {
    Comparison result;
    compare_number(result, "exit code", recorded.exit, replayed.exit);
    compare_number(result, "signal", recorded.signal, replayed.signal);
    const OutputRecord& a = recorded.output;
    const OutputRecord& b = replayed.output;
    if (a.merged == b.merged) {
        compare_hash(result, a.merged ? "output" : "standard output", a.stdout_hash, a.stdout_bytes,
                     b.stdout_hash, b.stdout_bytes);
        compare_hash(result, "standard error", a.stderr_hash, a.stderr_bytes, b.stderr_hash, b.stderr_bytes);
    }
    compare_files(result, recorded.fs_diff, replayed.fs_diff, max_entries);
    return result;
}

std::vector<std::string> Comparison::lines() const {
    if (same()) return {"same exit code, output and file changes"};
    std::vector<std::string> text;
    for (const Difference& d : results)
        text.push_back(fmt::format("{}: recorded {}, replayed {}", d.what, printable(d.recorded),
                                   printable(d.replayed)));
    for (const Difference& d : entries)
        text.push_back(fmt::format("{}: recorded {}; replayed {}", printable(d.what), printable(d.recorded),
                                   printable(d.replayed)));
    if (differing_entries > entries.size())
        text.push_back(fmt::format("and {} more paths", differing_entries - entries.size()));
    if (!entries_complete)
        text.emplace_back("single paths are not compared: a list of changes was truncated");
    return text;
}

std::vector<std::string> drift(const Span& recorded, const CurrentState& now) {
    std::vector<std::string> lines;
    const ReplayContext& then = recorded.replay;
    note_change(lines, "policy", then.policy_id.empty() ? recorded.policy_id : then.policy_id, now.policy_id);
    note_change(lines, "policy content", then.policy_hash.empty() ? recorded.policy_hash : then.policy_hash,
                now.policy_hash);
    note_change(lines, "world image", then.world_image_version, now.world_image_version);
    note_change(lines, "tool path", then.tool_path, now.tool_path);
    const std::string tool = "tool binary " + printable(then.tool_path);
    note_change(lines, tool.c_str(), then.tool_hash, now.tool_hash);
    note_change(lines, "hostname", then.hostname, now.hostname);
    if (now.changed_paths.empty()) return lines;
    std::string names;
    for (std::size_t i = 0; i < std::min(now.changed_paths.size(), kMostPathsNamed); ++i)
        names += (i == 0 ? "" : ", ") + printable(now.changed_paths[i]);
    if (now.changed_paths.size() > kMostPathsNamed)
        names += fmt::format(" and {} more", now.changed_paths.size() - kMostPathsNamed);
    lines.push_back("project content changed: " + names);
    return lines;
}

}  // namespace substrate::replay
