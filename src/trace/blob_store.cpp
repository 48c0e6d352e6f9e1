#include "trace/blob_store.hpp"

#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "base/text.hpp"
#include "sys/append_file.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "trace/layout.hpp"

namespace substrate::trace {
namespace {

constexpr std::string_view kScheme = "xxh3:";
constexpr std::size_t kHexDigits = 32;
constexpr std::size_t kHeadBytes = 256;
constexpr std::size_t kLargestBlob = 256u << 20;

std::string hash_of(std::string_view content) {
    const XXH128_hash_t hash = XXH3_128bits(content.data(), content.size());
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    text.reserve(kHexDigits);
    for (const unsigned char byte : canonical.digest) {
        text += kHex[byte >> 4];
        text += kHex[byte & 15];
    }
    return text;
}

// The file name of "xxh3:<hex>", empty when it is none: it becomes a path.
std::string file_of(std::string_view name) {
    if (!name.starts_with(kScheme)) return {};
    name.remove_prefix(kScheme.size());
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return name.size() == kHexDigits && std::ranges::all_of(name, is_hex) ? std::string(name) : std::string();
}

// At most kHeadBytes, not cut within a character.
std::string_view head_of(std::string_view text) {
    std::size_t length = std::min(text.size(), kHeadBytes);
    while (length > 0 && length < text.size() && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80)
        --length;
    return text.substr(0, length);
}

bool is_reference(const Json& value) {
    if (!value.is_object() || value.size() > 4) return false;
    const auto blob = value.find("blob");
    return blob != value.end() && blob->is_string() && value.contains("bytes") && value.contains("head");
}

Result<sys::UniqueFd> open_blobs(int dir) {
    return sys::open_at(dir, std::string(kBlobDirectory), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

Result<std::string> BlobStore::put(std::string_view content, bool sync) const {
    auto opened = open_blobs(dir_);
    if (!opened && opened.error().os_errno() == ENOENT) {
        auto made = sys::make_dir_at(dir_, std::string(kBlobDirectory).c_str(), 0700);
        if (!made && made.error().os_errno() != EEXIST) return fail(std::move(made).error());
        opened = open_blobs(dir_);
    }
    SUB_TRY_ASSIGN(const sys::UniqueFd blobs, std::move(opened));
    const std::string hash = hash_of(content);
    std::string name = std::string(kScheme) + hash;
    // Reading it back tells a damaged file from a good one.
    if (const auto known = get(name); known && *known == content && sys::touch_at(blobs.get(), hash))
        return name;
    const std::string path = "/proc/self/fd/" + std::to_string(blobs.get()) + "/" + hash;
    SUB_TRY(sys::replace_file(path, content, 0600, sync));
    return name;
}

Result<std::string> BlobStore::get(std::string_view name) const {
    const std::string file = file_of(name);
    if (file.empty()) return fail({Errc::invalid, "'" + printable(name) + "' is no name of a blob"});
    SUB_TRY_ASSIGN(const sys::UniqueFd blobs, open_blobs(dir_));
    SUB_TRY_ASSIGN(const sys::UniqueFd fd,
                   sys::open_at(blobs.get(), file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    SUB_TRY_ASSIGN(std::string content, sys::read_to_end(fd.get(), kLargestBlob));
    if (hash_of(content) != file)
        return fail({Errc::invalid, "the content of blob " + file + " has changed"});
    return content;
}

Result<> BlobStore::move_out(Json& field, bool sync) const {
    const bool is_text = field.is_string();
    std::string dumped;
    if (!is_text) dumped = dump_json(field);
    const std::string_view content = is_text ? std::string_view(field.get_ref<const std::string&>()) : dumped;
    SUB_TRY_ASSIGN(std::string name, put(content, sync));
    Json reference = Json::object();
    reference.emplace("blob", std::move(name));
    reference.emplace("bytes", content.size());
    reference.emplace("head", head_of(content));
    if (!is_text) reference.emplace("encoding", "json");
    field = std::move(reference);
    return {};
}

bool BlobStore::resolve(Json& record, std::string& problem) const {
    bool whole = true;
    std::vector<std::string> lost;
    for (auto it = record.begin(); it != record.end(); ++it) {
        Json& field = it.value();
        if (!is_reference(field)) continue;
        const bool is_text = !field.contains("encoding");
        auto content = get(field["blob"].get_ref<const std::string&>());
        if (content && is_text) {
            field = *std::move(content);
            continue;
        }
        if (content) {
            auto parsed = parse_json(*content, {.max_bytes = kLargestBlob});
            if (parsed) {
                field = *std::move(parsed);
                continue;
            }
            content = fail(std::move(parsed).error());
        }
        whole = false;
        problem = "field '" + printable(it.key()) + "': " + content.error().message();
        if (is_text && field["head"].is_string())
            field = std::string(field["head"].get_ref<const std::string&>());
        else lost.push_back(it.key());
    }
    for (const std::string& key : lost) record.erase(key);
    return whole;
}

void BlobStore::prune(std::int64_t ns) const {
    const auto blobs = open_blobs(dir_);
    if (!blobs) return;
    sys::DirectoryReader reader(blobs->get());
    std::vector<std::string> old;
    for (;;) {
        const auto entry = reader.next();
        if (!entry || *entry == nullptr) break;
        const auto st = sys::stat_at(blobs->get(), (*entry)->name);
        if (st && *st && sys::to_ns((*st)->stx_mtime) < ns) old.emplace_back((*entry)->name);
    }
    for (const std::string& name : old) (void)sys::unlink_at(blobs->get(), name.c_str());
}

}  // namespace substrate::trace
