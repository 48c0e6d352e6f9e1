#include "codec/fs_diff_json.hpp"

#include <array>
#include <optional>

#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"

namespace substrate {
namespace {

std::optional<ChangeKind> parse_kind(std::string_view text) {
    for (const auto kind : {ChangeKind::create, ChangeKind::modify, ChangeKind::remove,
                            ChangeKind::type_change, ChangeKind::rename})
        if (text == to_string(kind)) return kind;
    return std::nullopt;
}

std::optional<FileType> parse_type(std::string_view text) {
    for (const auto type : {FileType::regular, FileType::directory, FileType::symlink, FileType::fifo,
                            FileType::socket, FileType::char_device, FileType::block_device})
        if (text == to_string(type)) return type;
    return std::nullopt;
}

// "0644"; five digits never occur, since a mode here is permission bits only.
std::string octal(std::uint32_t mode) {
    std::string text(4, '0');
    for (int i = 3; i >= 0; --i, mode >>= 3)
        text[static_cast<std::size_t>(i)] = static_cast<char>('0' + (mode & 7));
    return text;
}

std::optional<std::uint32_t> parse_octal(std::string_view text) {
    if (text.empty() || text.size() > 5) return std::nullopt;
    std::uint32_t mode = 0;
    for (const char c : text) {
        if (c < '0' || c > '7') return std::nullopt;
        mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
    }
    if (mode > 07777) return std::nullopt;
    return mode;
}

Json entry_json(const FsEntry& entry) {
    Json object = Json::object();
    put_bytes(object, "path", entry.path);
    object.emplace("kind", to_string(entry.kind));
    object.emplace("file_type", to_string(entry.type));
    object.emplace("mode", octal(entry.mode));
    object.emplace("uid", entry.uid);
    object.emplace("gid", entry.gid);
    object.emplace("size", entry.size);
    object.emplace("mtime", format_rfc3339(entry.mtime_ns));
    if (!entry.link_target.empty()) put_bytes(object, "link_target", entry.link_target);
    if (!entry.renamed_from.empty()) put_bytes(object, "from", entry.renamed_from);
    return object;
}

void read_entry(ObjectReader& reader, FsEntry& entry) {
    reader.require("path");
    reader.require("kind");
    reader.bytes("path", entry.path);
    reader.word("kind", entry.kind, parse_kind);
    reader.word("file_type", entry.type, parse_type);
    reader.word("mode", entry.mode, parse_octal);
    reader.integer("uid", entry.uid);
    reader.integer("gid", entry.gid);
    reader.integer("size", entry.size);
    reader.time("mtime", entry.mtime_ns);
    reader.bytes("link_target", entry.link_target);
    reader.bytes("from", entry.renamed_from);
}

struct Lists {
    std::vector<std::string> writes, mods, deletes;
};

Lists lists_of(const FsDiff& diff) {
    Lists lists;
    for (const FsEntry& entry : diff.entries) {
        switch (entry.kind) {
            case ChangeKind::create: lists.writes.push_back(entry.path); break;
            case ChangeKind::modify:
            case ChangeKind::type_change: lists.mods.push_back(entry.path); break;
            case ChangeKind::remove: lists.deletes.push_back(entry.path); break;
            case ChangeKind::rename:
                lists.writes.push_back(entry.path);
                lists.deletes.push_back(entry.renamed_from);
                break;
        }
    }
    return lists;
}

}  // namespace

Json to_json(const FsDiff& diff) {
    Json object = Json::object();
    object.emplace("fs_diff_schema_version", kFsDiffSchemaVersion);
    const Lists lists = lists_of(diff);
    put_bytes(object, "writes", lists.writes);
    put_bytes(object, "mods", lists.mods);
    put_bytes(object, "deletes", lists.deletes);
    Json entries = Json::array();
    for (const FsEntry& entry : diff.entries) entries.push_back(entry_json(entry));
    object.emplace("entries", std::move(entries));
    object.emplace("truncated", diff.truncated);
    Json counts = Json::object();
    counts.emplace("files", diff.files);
    counts.emplace("dirs", diff.dirs);
    counts.emplace("created", diff.created);
    counts.emplace("modified", diff.modified);
    counts.emplace("deleted", diff.deleted);
    object.emplace("counts", std::move(counts));
    object.emplace("summary", diff.summary);
    object.emplace("tree_hash", diff.tree_hash);
    return object;
}

Result<FsDiff> fs_diff_from_json(const Json& value, std::string pointer) {
    ObjectReader reader(value, std::move(pointer));
    FsDiff diff;
    std::int64_t version = 0;
    reader.require("fs_diff_schema_version");
    reader.integer("fs_diff_schema_version", version);
    if (version > kFsDiffSchemaVersion || version < 1)
        reader.problem("fs_diff_schema_version", "is " + std::to_string(version) + "; this build reads 1");
    reader.objects("entries", [&](ObjectReader& entry) { read_entry(entry, diff.entries.emplace_back()); });
    reader.boolean("truncated", diff.truncated);
    reader.object("counts", [&](ObjectReader& counts) {
        counts.integer("files", diff.files);
        counts.integer("dirs", diff.dirs);
        counts.integer("created", diff.created);
        counts.integer("modified", diff.modified);
        counts.integer("deleted", diff.deleted);
    });
    reader.string("summary", diff.summary);
    reader.string("tree_hash", diff.tree_hash);
    SUB_TRY(reader.finish());
    return diff;
}

}  // namespace substrate
