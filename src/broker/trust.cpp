#include "broker/trust.hpp"

#include <fcntl.h>

#include "base/text.hpp"
#include "broker/policy_file.hpp"
#include "codec/digest.hpp"
#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"

namespace substrate::broker {
namespace {

constexpr int kVersion = 1;

void put_text(Json& object, std::string_view key, const std::optional<std::string>& text) {
    if (text) put_bytes(object, key, *text);
}

void get_text(ObjectReader& reader, std::string_view key, std::optional<std::string>& text) {
    if (reader.find(key) == nullptr) return;
    std::string value;
    reader.bytes(key, value);
    text = std::move(value);
}

Json to_json(const TrustRecord& record) {
    Json json = {{"hash", record.hash}, {"at", format_utc(record.at_ns)}};
    put_bytes(json, "directory", record.directory);
    put_text(json, "profile", record.texts.profile);
    put_text(json, "policy", record.texts.policy);
    return json;
}

Error broken(const Places& places, Error error) {
    return std::move(error)
        .during("reading what is trusted, '" + printable(places.trust_file) + "'")
        .hint("remove the file, then `substrate policy trust` again");
}

Result<> save(const Places& places, const TrustRecords& records) {
    Json json = {{"version", kVersion}, {"trusted", Json::array()}};
    for (const auto& [directory, record] : records) json["trusted"].push_back(to_json(record));
    return sys::replace_file(places.trust_file, dump_json_pretty(json) + "\n", 0600, /*sync=*/true);
}

// Changes the records while no other process does.
template <class Change>
Result<> change_records(const Places& places, Change change) {
    SUB_TRY_ASSIGN(const sys::UniqueFd gate,
                   sys::open_path(places.trust_file + ".lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
    SUB_TRY_ASSIGN(const sys::FileLock lock, sys::FileLock::exclusive(gate.get()));
    SUB_TRY_ASSIGN(TrustRecords records, load_trust(places));
    change(records);
    return save(places, records);
}

}  // namespace

std::string GroundTexts::hash() const {
    std::string bytes;
    for (const auto& text : {profile, policy}) {
        bytes += text ? '1' : '0';
        bytes += std::to_string(text ? text->size() : 0) + ':' + text.value_or("");
    }
    return sha256_hex(bytes);
}

Result<TrustRecords> parse_trust(const std::string& text) {
    SUB_TRY_ASSIGN(const Json json, parse_json(text));
    TrustRecords records;
    ObjectReader reader(json);
    int version = 0;
    reader.require("version");
    reader.integer("version", version);
    if (version != kVersion) reader.problem("version", "is not 1");
    reader.require("trusted");
    reader.objects("trusted", [&](ObjectReader& item) {
        TrustRecord record;
        for (const char* key : {"directory", "hash", "at"}) item.require(key);
        item.bytes("directory", record.directory);
        item.string("hash", record.hash);
        item.time("at", record.at_ns);
        get_text(item, "profile", record.texts.profile);
        get_text(item, "policy", record.texts.policy);
        if (!record.directory.starts_with('/')) item.problem("directory", "is not an absolute path");
        if (record.hash != record.texts.hash()) item.problem("hash", "does not fit the texts");
        const std::string directory = record.directory;
        if (!records.emplace(directory, std::move(record)).second)
            item.problem("directory", "is there twice");
    });
    SUB_TRY(reader.finish());
    return records;
}

Result<TrustRecords> load_trust(const Places& places) {
    auto file = read_policy_file(places.trust_file, Ground::own, places.uid);
    if (!file) return fail(broken(places, std::move(file).error()));
    if (!*file) return TrustRecords();
    auto records = parse_trust((*file)->text);
    if (!records) return fail(broken(places, std::move(records).error()));
    return records;
}

Result<> add_trust(const Places& places, TrustRecord record) {
    record.hash = record.texts.hash();
    return change_records(places, [&](TrustRecords& records) { records[record.directory] = record; });
}

Result<bool> remove_trust(const Places& places, const std::string& directory) {
    bool removed = false;
    SUB_TRY(change_records(places, [&](TrustRecords& records) { removed = records.erase(directory) > 0; }));
    return removed;
}

Result<GroundTexts> read_ground(const std::string& directory, std::uint32_t uid) {
    GroundTexts texts;
    SUB_TRY_ASSIGN(auto profile, read_policy_file(directory + "/" + kProfileFile, Ground::project, uid));
    SUB_TRY_ASSIGN(auto policy, read_policy_file(directory + "/" + kProjectPolicyFile, Ground::project, uid));
    if (profile) texts.profile = std::move(profile->text);
    if (policy) texts.policy = std::move(policy->text);
    return texts;
}

}  // namespace substrate::broker
