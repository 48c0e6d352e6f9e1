#include "capture/snapshot.hpp"

#include <xxhash.h>

#include <algorithm>

#include "capture/dir_cursor.hpp"
#include "capture/layer_walk.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::capture {
namespace {

struct statx_timestamp from_ns(std::int64_t ns) {
    struct statx_timestamp t{};
    t.tv_sec = ns / 1'000'000'000;
    t.tv_nsec = static_cast<std::uint32_t>(ns % 1'000'000'000);
    if (ns % 1'000'000'000 < 0) {
        --t.tv_sec;
        t.tv_nsec = static_cast<std::uint32_t>(ns % 1'000'000'000 + 1'000'000'000);
    }
    return t;
}

Result<> walk_tree(int root, const std::vector<std::string>& excluded, const ChangeSink& sink) {
    const PathSet left_out(excluded);
    LayerWalk walk({.upper = root, .layered = false, .unlock_upper = false, .excluded = &left_out}, sink);
    return walk.run();
}

}  // namespace

std::uint64_t Snapshot::key_of(std::uint32_t parent, std::string_view name) {
    return ::XXH3_64bits_withSeed(name.data(), name.size(), parent);
}

void Snapshot::insert(std::uint32_t index) {
    const Record& record = records_[index];
    const std::size_t mask = table_.size() - 1;
    std::size_t slot = key_of(record.parent, name_of(record)) & mask;
    while (table_[slot] != kNone) slot = (slot + 1) & mask;
    table_[slot] = index;
}

void Snapshot::grow() {
    if (records_.size() * 3 < table_.size() * 2) return;
    table_.assign(std::max<std::size_t>(1024, table_.size() * 2), kNone);
    for (std::uint32_t i = 1; i + 1 < records_.size(); ++i) insert(i);
}

std::uint32_t Snapshot::find(std::uint32_t parent, std::string_view name) const {
    if (table_.empty()) return kNone;
    const std::size_t mask = table_.size() - 1;
    for (std::size_t slot = key_of(parent, name) & mask; table_[slot] != kNone; slot = (slot + 1) & mask) {
        const Record& record = records_[table_[slot]];
        if (record.parent == parent && name_of(record) == name) return table_[slot];
    }
    return kNone;
}

std::uint32_t Snapshot::find_path(std::string_view path) const {
    std::uint32_t at = 0;
    for (std::size_t begin = 0; begin < path.size() && at != kNone;) {
        const auto end = std::min(path.find('/', begin), path.size());
        at = find(at, path.substr(begin, end - begin));
        begin = end + 1;
    }
    return at;
}

std::string Snapshot::path_of(std::uint32_t index) const {
    std::vector<std::uint32_t> chain;
    for (; index != 0; index = records_[index].parent) chain.push_back(index);
    std::string path;
    for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
        if (!path.empty()) path += '/';
        path += name_of(records_[*it]);
    }
    return path;
}

std::size_t Snapshot::memory() const {
    return records_.capacity() * sizeof(Record) + names_.capacity() +
           table_.capacity() * sizeof(std::uint32_t);
}

Result<Snapshot> Snapshot::take(int root, std::vector<std::string> excluded) {
    Snapshot snapshot;
    snapshot.excluded_ = std::move(excluded);
    snapshot.records_.emplace_back();
    std::string parent_path;
    std::uint32_t parent = 0;
    const ChangeSink sink = [&](const Change& change) -> Result<> {
        if (parent_part(change.path) != parent_path) {
            parent_path = parent_part(change.path);
            parent = snapshot.find_path(parent_path);
        }
        if (snapshot.records_.size() >= kNone) return fail({Errc::unsupported, "more than 2^32 objects"});
        const struct ::statx& st = *change.after;
        const std::string_view name = name_part(change.path);
        Record record{.inode = st.stx_ino,
                      .size = st.stx_size,
                      .mtime_ns = sys::to_ns(st.stx_mtime),
                      .ctime_ns = sys::to_ns(st.stx_ctime),
                      .born_ns = sys::to_ns(st.stx_btime),
                      .name_offset = snapshot.names_.size(),
                      .parent = parent,
                      .uid = st.stx_uid,
                      .gid = st.stx_gid,
                      .mode = st.stx_mode,
                      .name_length = static_cast<std::uint16_t>(name.size()),
                      .link_length = static_cast<std::uint16_t>(change.link_target.size())};
        snapshot.names_ += name;
        snapshot.names_ += change.link_target;
        snapshot.records_.push_back(record);
        snapshot.grow();
        snapshot.insert(static_cast<std::uint32_t>(snapshot.records_.size() - 1));
        return {};
    };
    SUB_TRY_DURING(walk_tree(root, snapshot.excluded_, sink), "taking a snapshot");
    return snapshot;
}

// One walk against a snapshot.
class SnapshotComparison {
  public:
    SnapshotComparison(const Snapshot& before, int root, const ChangeSink& sink)
        : before_(before), sink_(sink), old_places_(root), seen_(before.records_.size()) {}

    Result<> run(int root) {
        index_inodes();
        const ChangeSink look = [this](const Change& now) { return compare(now); };
        SUB_TRY(walk_tree(root, before_.excluded_, look));
        return report_removed();
    }

  private:
    using Record = Snapshot::Record;

    auto inode_of() const {
        return [this](std::uint32_t index) { return before_.records_[index].inode; };
    }

    Result<> compare(const Change& now) {
        if (parent_part(now.path) != parent_path_ || !parent_known_) {
            parent_path_ = parent_part(now.path);
            parent_ = before_.find_path(parent_path_);
            parent_known_ = true;
        }
        Change change = now;
        const std::uint32_t index =
            parent_ == Snapshot::kNone ? Snapshot::kNone : before_.find(parent_, name_part(now.path));
        change.nested = parent_ == Snapshot::kNone;
        if (index == Snapshot::kNone) return report_new(change);
        seen_[index] = true;
        const Record& old = before_.records_[index];
        if (!differs(old, now)) return {};
        restore(old);
        change.before = &restored_;
        change.kind = type_of(restored_) == now.type ? ChangeKind::modify : ChangeKind::type_change;
        return sink_(change);
    }

    bool differs(const Record& old, const Change& now) const {
        const struct ::statx& st = *now.after;
        if (old.mode != st.stx_mode || old.uid != st.stx_uid || old.gid != st.stx_gid) return true;
        if (now.type == FileType::directory) return false;
        return old.size != st.stx_size || old.mtime_ns != sys::to_ns(st.stx_mtime) ||
               old.inode != st.stx_ino || old.ctime_ns != sys::to_ns(st.stx_ctime) ||
               (now.type == FileType::symlink && before_.link_of(old) != now.link_target);
    }

    // The old path of a new one, when the same object has left it.
    Result<> report_new(Change& change) {
        const struct ::statx& st = *change.after;
        for (auto it = std::ranges::lower_bound(by_inode_, st.stx_ino, {}, inode_of());
             it != by_inode_.end() && before_.records_[*it].inode == st.stx_ino; ++it) {
            const Record& old = before_.records_[*it];
            if (seen_[*it] || (old.mode & S_IFMT) != (st.stx_mode & S_IFMT) || !is_same_object(old, st))
                continue;
            std::string path = before_.path_of(*it);
            SUB_TRY_ASSIGN(const bool gone, has_left(path, st.stx_ino));
            if (!gone) continue;
            seen_[*it] = true;
            restore(old);
            change.kind = ChangeKind::rename;
            change.before = &restored_;
            change.renamed_from = path;
            return sink_(change);
        }
        return sink_(change);
    }

    // Inode numbers are used again soon; the birth time tells the objects apart.
    static bool is_same_object(const Record& old, const struct ::statx& st) {
        if (old.born_ns != 0) return old.born_ns == sys::to_ns(st.stx_btime);
        return old.size == st.stx_size && old.mtime_ns == sys::to_ns(st.stx_mtime);
    }

    Result<bool> has_left(const std::string& path, std::uint64_t inode) {
        auto dir = old_places_.at(parent_part(path));
        if (!dir) {
            const int error = dir.error().os_errno();
            if (error == ENOENT || error == ENOTDIR || error == ELOOP) return true;
            return fail(std::move(dir).error());
        }
        struct ::statx st{};
        SUB_TRY_ASSIGN(const bool exists, sys::stat_entry(*dir, std::string(name_part(path)).c_str(), st));
        return !exists || st.stx_ino != inode;
    }

    Result<> report_removed() {
        // Records stand in walk order, so a directory comes before its content.
        for (std::uint32_t i = 1; i < before_.records_.size(); ++i) {
            if (seen_[i]) continue;
            const Record& old = before_.records_[i];
            restore(old);
            const std::string path = before_.path_of(i);
            SUB_TRY(sink_({.path = path,
                           .kind = ChangeKind::remove,
                           .type = type_of(restored_),
                           .before = &restored_,
                           .link_target = before_.link_of(old),
                           .nested = old.parent != 0 && !seen_[old.parent]}));
        }
        return {};
    }

    void restore(const Record& old) {
        restored_ = {};
        restored_.stx_mode = old.mode;
        restored_.stx_uid = old.uid;
        restored_.stx_gid = old.gid;
        restored_.stx_size = old.size;
        restored_.stx_ino = old.inode;
        restored_.stx_nlink = 1;
        restored_.stx_mtime = from_ns(old.mtime_ns);
        restored_.stx_ctime = from_ns(old.ctime_ns);
    }

    void index_inodes() {
        for (std::uint32_t i = 1; i < before_.records_.size(); ++i) by_inode_.push_back(i);
        std::ranges::sort(by_inode_, {}, inode_of());
    }

    const Snapshot& before_;
    const ChangeSink& sink_;
    DirCursor old_places_;
    std::vector<bool> seen_;
    std::vector<std::uint32_t> by_inode_;
    std::string parent_path_;
    std::uint32_t parent_ = 0;
    bool parent_known_ = false;
    struct ::statx restored_{};
};

Result<> Snapshot::compare(int root, const ChangeSink& sink) const {
    SnapshotComparison comparison(*this, root, sink);
    return comparison.run(root);
}

}  // namespace substrate::capture
