#include "supervisor/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "base/text.hpp"
#include "codec/json_value.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::int64_t kTmpfsMagic = 0x01021994;
constexpr std::string_view kStorePrefix = "p-";
constexpr const char* kCaptureMark = "/capture.json";
constexpr const char* kSpare = "spare";
constexpr const char* kFirstSlot = "/slots/0";
constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE
constexpr std::size_t kMostManifest = 16 << 20;
constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

std::string store_name(const std::string& project) {
    const XXH128_hash_t hash = XXH3_128bits(project.data(), project.size());
    return fmt::format("{}{:016x}{:016x}", kStorePrefix, hash.high64, hash.low64);
}

struct Candidate {
    std::string path;
    bool same_device = false;
    bool tmpfs = false;
};

std::optional<Candidate> examine(const std::string& root, const std::string& project, std::uint64_t device,
                                 std::string& why) {
    if (!project.empty() && is_within(root, project)) {
        why += fmt::format("; {} lies in the project", root);
        return std::nullopt;
    }
    if (auto made = sys::make_dirs(std::string(parent_of(root)), 0755); !made) {
        why += "; " + made.error().message();
        return std::nullopt;
    }
    const auto dir = sys::open_private_dir(root);
    if (!dir) {
        why += "; " + dir.error().message();
        return std::nullopt;
    }
    const auto st = sys::stat_fd(dir->get());
    const auto magic = sys::file_system_magic(dir->get());
    if (!st || !magic) return std::nullopt;
    return Candidate{root, sys::device_of(*st) == device, *magic == kTmpfsMagic};
}

Json to_json(const Manifest& manifest) {
    Json json = {{"span_id", manifest.span_id},         {"world_id", manifest.world_id},
                 {"state", to_string(manifest.state)},  {"strategy", to_string(manifest.strategy)},
                 {"user_xattrs", manifest.user_xattrs}, {"captured_ns", manifest.captured_ns},
                 {"settled_ns", manifest.settled_ns},   {"dir", manifest.dir}};
    json["project"] = escape_bytes(manifest.project);
    if (!manifest.before_ns.empty()) json["before_ns"] = manifest.before_ns;
    if (!manifest.branch.empty()) {
        json["branch"] = manifest.branch;
        json["base_ns"] = manifest.base_ns;
    }
    if (!manifest.copied_from.empty()) json["copied_from"] = manifest.copied_from;
    json["excluded"] = Json::array();
    for (const std::string& path : manifest.excluded) json["excluded"].push_back(escape_bytes(path));
    return json;
}

std::optional<KeptState> parse_state(std::string_view text) {
    for (const auto state : {KeptState::pending, KeptState::applying, KeptState::applied, KeptState::conflict,
                             KeptState::interrupted})
        if (text == to_string(state)) return state;
    return std::nullopt;
}

// nullopt for anything that save() did not write.
std::optional<Manifest> manifest_from(const Json& json) {
    const auto text = [&](const char* key) {
        const auto it = json.find(key);
        return it != json.end() && it->is_string() ? it->get_ref<const std::string&>() : std::string();
    };
    const auto number = [&](const char* key) {
        const auto it = json.find(key);
        return it != json.end() && it->is_number_integer() ? it->get<std::int64_t>() : 0;
    };
    Manifest manifest;
    manifest.span_id = text("span_id");
    manifest.world_id = text("world_id");
    manifest.project = unescape_bytes(text("project"));
    const auto state = parse_state(text("state"));
    const auto strategy = parse_capture_strategy(text("strategy"));
    if (!is_id(manifest.span_id, "spn") || !state || !strategy) return std::nullopt;
    manifest.state = *state;
    manifest.strategy = *strategy;
    const auto xattrs = json.find("user_xattrs");
    manifest.user_xattrs = xattrs == json.end() || !xattrs->is_boolean() || xattrs->get<bool>();
    manifest.captured_ns = number("captured_ns");
    manifest.settled_ns = number("settled_ns");
    manifest.dir = text("dir");
    manifest.branch = text("branch");
    manifest.base_ns = number("base_ns");
    manifest.copied_from = text("copied_from");
    if (const auto times = json.find("before_ns"); times != json.end() && times->is_array())
        for (const Json& time : *times)
            manifest.before_ns.push_back(time.is_number_integer() ? time.get<std::int64_t>() : 0);
    if (const auto excluded = json.find("excluded"); excluded != json.end() && excluded->is_array())
        for (const Json& path : *excluded)
            if (path.is_string())
                manifest.excluded.push_back(unescape_bytes(path.get_ref<const std::string&>()));
    return manifest;
}

}  // namespace

const char* to_string(KeptState state) {
    switch (state) {
        case KeptState::pending: return "pending";
        case KeptState::applying: return "applying";
        case KeptState::applied: return "applied";
        case KeptState::conflict: return "conflict";
        case KeptState::interrupted: return "interrupted";
    }
    return "pending";
}

Result<Store> Store::open(const std::vector<std::string>& roots, const std::string& project) {
    SUB_TRY_ASSIGN(const sys::UniqueFd project_fd, sys::open_path(project, O_PATH | O_DIRECTORY));
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(project_fd.get()));
    std::optional<Candidate> best;
    std::string why;
    const auto rank = [](const Candidate& candidate) {
        return (candidate.tmpfs ? 0 : 2) + (candidate.same_device ? 1 : 0);
    };
    for (const std::string& root : roots) {
        auto candidate = examine(root, project, sys::device_of(st), why);
        if (candidate && (!best || rank(*candidate) > rank(*best))) best = std::move(candidate);
    }
    if (!best)
        return fail(Error(Errc::unsupported, "no directory can hold captures" + why)
                        .hint("set SUBSTRATE_HOME to a directory of yours outside the project"));
    const std::string path = best->path + "/" + store_name(project);
    SUB_TRY(sys::open_private_dir(path));
    for (const char* part : {"/worlds", "/spans", "/trash"}) SUB_TRY(sys::make_dirs(path + part, 0700));
    const auto known = sys::read_file(path + "/project");
    if (known && *known != project)
        return fail(
            {Errc::safety, "the capture store '" + path + "' belongs to '" + printable(*known) + "'"});
    if (!known) SUB_TRY(sys::replace_file(path + "/project", project, 0600));
    return open_existing(path);
}

Result<Store> Store::open_existing(const std::string& path) {
    SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_private_dir(path));
    SUB_TRY_ASSIGN(std::string project, sys::read_file(path + "/project", 1 << 16));
    return Store(path, std::move(project), std::move(fd));
}

Result<Store::MadeWorld> Store::make_world(const std::string& world_id, bool reuse) {
    // Until the new world is locked it looks like a dead one.
    SUB_TRY_ASSIGN(const sys::UniqueFd worlds, sys::open_at(fd_.get(), "worlds", kDirectory));
    SUB_TRY_ASSIGN(const sys::FileLock making, sys::FileLock::shared(worlds.get()));
    const std::string dir = "worlds/" + world_id;
    if (reuse) {
        SUB_TRY_ASSIGN(sys::UniqueFd lock, take_spare(dir));
        if (lock) return MadeWorld{std::move(lock), dir + kFirstSlot};
    }
    SUB_TRY(sys::make_dirs(path_ + "/" + dir + "/slots", 0700));
    SUB_TRY_ASSIGN(sys::UniqueFd lock,
                   sys::open_at(fd_.get(), dir + "/lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    SUB_TRY_ASSIGN(const bool locked, sys::try_lock(lock.get()));
    if (!locked) return fail({Errc::internal, "the new world '" + world_id + "' is locked"});
    return MadeWorld{std::move(lock), {}};
}

// Without the spare directory, or while a child that is just being started still has
// the lock of the world that it was: an empty descriptor.
Result<sys::UniqueFd> Store::take_spare(const std::string& dir) {
    auto lock = sys::open_at(fd_.get(), std::string(kSpare) + "/lock", O_RDWR | O_NOFOLLOW);
    if (!lock) return sys::UniqueFd();
    SUB_TRY_ASSIGN(const bool locked, sys::try_lock(lock->get()));
    if (!locked) return sys::UniqueFd();
    SUB_TRY(sys::rename_at(fd_.get(), kSpare, fd_.get(), dir.c_str(), kNoReplace));
    return std::move(*lock);
}

Result<> Store::keep_spare(const std::string& world_id, const std::string& slot) {
    const std::string dir = "worlds/" + world_id;
    SUB_TRY_ASSIGN(const bool fit, is_spare(dir, slot));
    if (!fit) return discard(dir);
    if (auto moved = sys::rename_at(fd_.get(), dir.c_str(), fd_.get(), kSpare, kNoReplace);
        !moved && moved.error().os_errno() == EEXIST)
        return discard(dir);
    else return moved;
}

// Whether nothing of the world that was shows in its directory: an ended command may
// have left what its diff does not count.
Result<bool> Store::is_spare(const std::string& dir, const std::string& slot) {
    if (slot != dir + kFirstSlot) return false;
    for (const char* part : {"/upper", "/work"}) {
        SUB_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_at(fd_.get(), slot + part, kDirectory));
        sys::DirectoryReader reader(fd.get());
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry != nullptr) return false;
    }
    // A torn mark counts as none: what such a slot holds, no command has made.
    const auto mark = sys::open_at(fd_.get(), slot + kCaptureMark, O_WRONLY | O_NOFOLLOW);
    if (!mark) return mark.error().os_errno() == ENOENT;
    SUB_TRY(sys::set_size(mark->get(), 1));
    return true;
}

Result<> Store::note_network(const std::string& world_id, const std::string& name) const {
    const std::string note = "worlds/" + world_id + "/network";
    if (::unlinkat(fd_.get(), note.c_str(), 0) != 0 && errno != ENOENT)
        return fail(Error::last_os("unlink", note));
    if (name.empty()) return {};
    SUB_TRY_ASSIGN(const sys::UniqueFd file,
                   sys::open_at(fd_.get(), note, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    return sys::write_all(file.get(), name);
}

std::string Store::noted_network(const std::string& world_id) const {
    const auto file = sys::open_at(fd_.get(), "worlds/" + world_id + "/network", O_RDONLY | O_NOFOLLOW);
    return file ? sys::read_to_end(file->get(), 256).value_or("") : std::string();
}

Result<std::vector<Store::FoundWorld>> Store::lock_dead_worlds() const {
    SUB_TRY_ASSIGN(const sys::UniqueFd worlds, sys::open_at(fd_.get(), "worlds", kDirectory));
    SUB_TRY_ASSIGN(const sys::FileLock no_new_ones, sys::FileLock::exclusive(worlds.get()));
    std::vector<FoundWorld> found;
    sys::DirectoryReader reader(worlds.get());
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) return found;
        FoundWorld world{.id = entry->name, .dead = true, .lock = {}};
        auto lock = sys::open_at(worlds.get(), world.id + "/lock", O_RDWR | O_NOFOLLOW);
        if (lock) {
            SUB_TRY_ASSIGN(world.dead, sys::try_lock(lock->get()));
            if (world.dead) world.lock = std::move(*lock);
        }
        found.push_back(std::move(world));
    }
}

Result<std::string> Store::make_slot(const std::string& world_id, unsigned number, CaptureStrategy strategy) {
    std::string slot = "worlds/" + world_id + "/slots/" + std::to_string(number);
    SUB_TRY(sys::make_dir_at(fd_.get(), slot.c_str(), 0700));
    if (strategy == CaptureStrategy::copy_diff)
        SUB_TRY(sys::make_dir_at(fd_.get(), (slot + "/tree").c_str(), 0700));
    if (strategy != CaptureStrategy::overlay && strategy != CaptureStrategy::fuse) return slot;
    SUB_TRY(sys::make_dir_at(fd_.get(), (slot + "/upper").c_str(), 0755));
    SUB_TRY(sys::make_dir_at(fd_.get(), (slot + "/work").c_str(), 0755));
    return slot;
}

Result<> Store::take_on_project_root(const std::string& slot, CaptureStrategy strategy) {
    if (strategy == CaptureStrategy::direct) return {};
    const std::string root = slot + (strategy == CaptureStrategy::copy_diff ? "/tree" : "/upper");
    SUB_TRY_ASSIGN(const auto wanted, sys::stat_at(AT_FDCWD, project_.c_str()));
    SUB_TRY_ASSIGN(const auto have, sys::stat_at(fd_.get(), root.c_str()));
    if (!wanted || !have) return fail({Errc::not_found, "the project or its capture has gone"});
    if (sys::effective_uid() == 0 && (wanted->stx_uid != have->stx_uid || wanted->stx_gid != have->stx_gid))
        SUB_TRY(sys::set_owner_at(fd_.get(), root.c_str(), wanted->stx_uid, wanted->stx_gid));
    const mode_t mode = wanted->stx_mode & 07777;
    if ((have->stx_mode & 07777) != mode) SUB_TRY(sys::set_mode_at(fd_.get(), root.c_str(), mode));
    if (sys::to_ns(wanted->stx_mtime) != sys::to_ns(have->stx_mtime))
        SUB_TRY(sys::set_mtime_at(fd_.get(), root.c_str(), *wanted));
    return {};
}

Result<> Store::mark_capture(const Manifest& manifest) {
    SUB_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_at(fd_.get(), manifest.dir + kCaptureMark,
                                                        O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
    const std::string text = dump_json(to_json(manifest));
    SUB_TRY(sys::write_all(fd.get(), text));
    // Not O_TRUNC: to give its block back and take another costs more than all of this.
    return sys::set_size(fd.get(), static_cast<std::int64_t>(text.size()));
}

Result<std::optional<Manifest>> Store::marked_capture(const std::string& slot) const {
    const auto text = sys::read_file(path_ + "/" + slot + kCaptureMark, kMostManifest);
    if (!text && text.error().os_errno() == ENOENT) return std::optional<Manifest>();
    if (!text) return fail(text.error());
    const auto json = parse_json(*text);
    // Torn by a crash before the command started.
    if (!json) return std::optional<Manifest>();
    auto manifest = manifest_from(*json);
    if (manifest) manifest->dir = slot;
    return manifest;
}

Result<> Store::discard(const std::string& relative_path) {
    for (;;) {
        const std::string name = fmt::format("trash/{}", trash_number_++);
        auto moved = sys::rename_at(fd_.get(), relative_path.c_str(), fd_.get(), name.c_str(), kNoReplace);
        if (moved || moved.error().os_errno() == ENOENT) return {};
        if (moved.error().os_errno() != EEXIST) return moved;
    }
}

void Store::empty_trash() {
    // Best effort: what stays is tried again the next time and shown by gc.
    const auto trash = sys::open_at(fd_.get(), "trash", O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!trash) return;
    sys::DirectoryReader reader(trash->get());
    for (;;) {
        const auto entry = reader.next();
        if (!entry || *entry == nullptr) return;
        (void)sys::remove_tree_at(trash->get(), (*entry)->name);
    }
}

Result<> Store::save(const Manifest& manifest) {
    const std::string dir = span_dir(manifest.span_id);
    if (auto made = sys::make_dir_at(fd_.get(), dir.c_str(), 0700);
        !made && made.error().os_errno() != EEXIST)
        return made;
    return sys::replace_file(path_ + "/" + dir + "/manifest.json", dump_json(to_json(manifest)), 0600);
}

Result<std::optional<Manifest>> Store::load(const std::string& span_id) const {
    if (!is_id(span_id, "spn")) return fail({Errc::invalid, "'" + printable(span_id) + "' is not a span id"});
    const auto text = sys::read_file(path_ + "/" + span_dir(span_id) + "/manifest.json", kMostManifest);
    if (!text && text.error().os_errno() == ENOENT) return std::optional<Manifest>();
    if (!text) return fail(text.error());
    SUB_TRY_ASSIGN(const Json json, parse_json(*text));
    auto manifest = manifest_from(json);
    if (!manifest) return fail({Errc::invalid, "the manifest of " + span_id + " is damaged"});
    return manifest;
}

Result<std::vector<Manifest>> Store::list() const {
    std::vector<Manifest> manifests;
    SUB_TRY_ASSIGN(const sys::UniqueFd spans,
                   sys::open_at(fd_.get(), "spans", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    sys::DirectoryReader reader(spans.get());
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) break;
        if (!is_id(entry->view(), "spn")) continue;
        auto manifest = load(entry->name);
        if (manifest && *manifest) manifests.push_back(std::move(**manifest));
    }
    std::ranges::sort(manifests, [](const Manifest& a, const Manifest& b) {
        return std::pair(a.captured_ns, a.span_id) < std::pair(b.captured_ns, b.span_id);
    });
    return manifests;
}

Result<> Store::forget_until(std::int64_t time_ns) {
    if (time_ns <= forgotten_until_ns()) return {};
    return sys::replace_file(path_ + "/forgotten", std::to_string(time_ns), 0600);
}

Result<> Store::forget(const Manifest& manifest) {
    SUB_TRY(forget_until(manifest.settled_ns));
    return discard(span_dir(manifest.span_id));
}

Result<> Store::drop(const Manifest& manifest) {
    return manifest.before_ns.empty() ? discard(span_dir(manifest.span_id)) : forget(manifest);
}

std::int64_t Store::forgotten_until_ns() const {
    const auto text = sys::read_file(path_ + "/forgotten", 64);
    if (!text) return 0;
    std::int64_t until = 0;
    std::from_chars(text->data(), text->data() + text->size(), until);
    return until;
}

std::string usual_capture_root(const std::vector<std::string>& roots) {
    std::string why;
    for (const std::string& root : roots)
        if (const auto candidate = examine(root, "", 0, why); candidate && !candidate->tmpfs) return root;
    return roots.front();
}

Result<bool> is_in_memory(const std::string& directory) {
    SUB_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_path(directory, kDirectory));
    SUB_TRY_ASSIGN(const std::int64_t magic, sys::file_system_magic(fd.get()));
    return magic == kTmpfsMagic;
}

Result<std::vector<std::string>> list_stores(const std::vector<std::string>& roots) {
    std::vector<std::string> stores;
    for (const std::string& root : roots) {
        const auto dir = sys::open_path(root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (!dir) continue;  // a candidate that was never used
        sys::DirectoryReader reader(dir->get());
        for (;;) {
            SUB_TRY_ASSIGN(const auto* entry, reader.next());
            if (entry == nullptr) break;
            if (entry->view().starts_with(kStorePrefix)) stores.push_back(root + "/" + entry->name);
        }
    }
    std::ranges::sort(stores);
    return stores;
}

}  // namespace substrate::supervisor
