#include "capture/diff_builder.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "capture/overlay_walk.hpp"
#include "sys/file.hpp"

namespace substrate::capture {
namespace {

template <class T>
void append_number(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

FsEntry describe(const Change& change) {
    const struct ::statx& st = change.after != nullptr ? *change.after : *change.before;
    FsEntry entry;
    entry.path = change.path;
    entry.kind = change.kind;
    entry.type = change.type;
    entry.mode = st.stx_mode & 07777u;
    entry.uid = st.stx_uid;
    entry.gid = st.stx_gid;
    entry.size = change.type == FileType::directory ? 0 : st.stx_size;
    entry.mtime_ns = sys::to_ns(st.stx_mtime);
    entry.link_target = change.link_target;
    entry.renamed_from = change.renamed_from;
    return entry;
}

}  // namespace

DiffBuilder::DiffBuilder(const Limits& limits, XattrNamespace xattrs)
    : limits_{std::min(limits.max_files, kMaxListedEntries), std::min(limits.max_dirs, kMaxListedEntries)},
      xattrs_(xattrs) {}

Result<> DiffBuilder::add(const Change& change) {
    count(change);
    if (change.kind == ChangeKind::rename) {
        hash(change.renamed_from, ChangeKind::remove, *change.before, change.link_target);
        hash(change.path, ChangeKind::create, *change.after, change.link_target);
    } else {
        hash(change.path, change.kind, change.after != nullptr ? *change.after : *change.before,
             change.link_target);
    }
    if (change.type == FileType::directory) return list(change, dirs_, limits_.max_dirs);
    return list(change, files_, limits_.max_files);
}

void DiffBuilder::count(const Change& change) {
    ++(change.type == FileType::directory ? diff_.dirs : diff_.files);
    switch (change.kind) {
        case ChangeKind::create: ++diff_.created; break;
        case ChangeKind::remove: ++diff_.deleted; break;
        default: ++diff_.modified;
    }
}

void DiffBuilder::hash(std::string_view path, ChangeKind kind, const struct ::statx& st,
                       std::string_view link_target) {
    // Lengths before the strings: no two changes share an encoding.
    encoding_.clear();
    append_number(encoding_, static_cast<std::uint32_t>(path.size()));
    encoding_ += path;
    encoding_ += static_cast<char>(kind);
    encoding_ += static_cast<char>(type_of(st));
    append_number(encoding_, static_cast<std::uint32_t>(st.stx_mode & 07777u));
    append_number(encoding_, is_directory(st) ? std::uint64_t{0} : static_cast<std::uint64_t>(st.stx_size));
    append_number(encoding_, static_cast<std::uint32_t>(link_target.size()));
    encoding_ += link_target;
    const XXH128_hash_t h = ::XXH3_128bits(encoding_.data(), encoding_.size());
    sum_.low += h.low64;
    sum_.high += h.high64 + (sum_.low < h.low64 ? 1 : 0);
}

Result<> DiffBuilder::list(const Change& change, std::vector<Listed>& heap, std::uint64_t limit) {
    if (limit == 0) return {};
    if (heap.size() == limit) {
        if (change.path >= heap.front().entry.path) return {};
        std::ranges::pop_heap(heap, earlier);
        heap.pop_back();
    }
    Listed listed{describe(change), {}};
    if (change.type == FileType::regular && change.kind == ChangeKind::remove) {
        listed.match = {Match::By::metadata, change.before->stx_ino};
    } else if (change.type == FileType::regular && change.kind == ChangeKind::create &&
               change.after_dir >= 0) {
        SUB_TRY_ASSIGN(const Origin origin, read_origin(change.after_dir, change.name, xattrs_));
        if (origin.inode) listed.match = {Match::By::inode, *origin.inode};
        else if (origin.copied_up) listed.match.by = Match::By::metadata;
    }
    heap.push_back(std::move(listed));
    std::ranges::push_heap(heap, earlier);
    return {};
}

void DiffBuilder::join_renames() {
    // The inode alone, or (without one) what a rename leaves as it was.
    using Key =
        std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::uint32_t, std::uint32_t, std::uint32_t>;
    struct Pair {
        Listed* removed = nullptr;
        Listed* created = nullptr;
        int removals = 0;
        int creations = 0;
    };
    std::map<Key, Pair> pairs;
    for (auto& listed : files_) {
        const FsEntry& e = listed.entry;
        const Key by_inode{listed.match.inode, 0, 0, 0, 0, 0};
        const Key by_metadata{0, e.size, e.mtime_ns, e.mode, e.uid, e.gid};
        if (listed.match.by == Match::By::nothing) continue;
        if (e.kind == ChangeKind::remove) {
            for (const Key& key : {by_inode, by_metadata}) {
                pairs[key].removed = &listed;
                ++pairs[key].removals;
            }
        } else {
            Pair& pair = pairs[listed.match.by == Match::By::inode ? by_inode : by_metadata];
            pair.created = &listed;
            ++pair.creations;
        }
    }
    for (auto& [key, pair] : pairs) {
        if (pair.removals != 1 || pair.creations != 1 || pair.removed->match.by == Match::By::nothing)
            continue;
        pair.created->entry.kind = ChangeKind::rename;
        pair.created->entry.renamed_from = std::move(pair.removed->entry.path);
        pair.removed->entry.path.clear();
        pair.removed->match.by = Match::By::nothing;
        --diff_.files;
        --diff_.created;
        --diff_.deleted;
        ++diff_.modified;
    }
    std::erase_if(files_, [](const Listed& listed) { return listed.entry.path.empty(); });
}

FsDiff DiffBuilder::finish() {
    FsDiff diff;
    const bool any = !diff_.empty();
    diff_.truncated = diff_.files > files_.size() || diff_.dirs > dirs_.size();
    join_renames();
    for (auto* heap : {&files_, &dirs_})
        for (auto& listed : *heap) diff_.entries.push_back(std::move(listed.entry));
    std::ranges::sort(diff_.entries, {}, &FsEntry::path);
    if (any) diff_.tree_hash = fmt::format("xxh3:{:016x}{:016x}", sum_.high, sum_.low);
    if (diff_.truncated)
        diff_.summary = fmt::format("{} dirs, {} files (truncated, see tree_hash)", diff_.dirs, diff_.files);
    std::swap(diff, diff_);
    files_.clear();
    dirs_.clear();
    sum_ = {};
    return diff;
}

}  // namespace substrate::capture
