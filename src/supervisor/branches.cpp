#include "supervisor/branches.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "capture/transfer.hpp"
#include "codec/json_value.hpp"
#include "supervisor/captured.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
constexpr const char* kBranches = "branches";
constexpr std::string_view kSuffix = ".json";
constexpr std::size_t kMostFile = 64 * 1024;
constexpr std::size_t kMostLayers = 400;  // overlayfs takes 500

bool is_branch_id(std::string_view text) { return is_id(text, "wld") || is_id(text, "snp"); }

std::string file_of(const std::string& id) {
    return std::string(kBranches) + "/" + id + std::string(kSuffix);
}

Json to_json(const Branch& branch) {
    return {{"id", branch.id},
            {"name", escape_bytes(branch.name)},
            {"agent_id", branch.agent_id},
            {"cwd", escape_bytes(branch.cwd)},
            {"from", branch.from},
            {"base_ns", branch.base_ns},
            {"made_ns", branch.made_ns},
            {"used_ns", branch.used_ns}};
}

// nullopt for anything that save_branch() did not write.
std::optional<Branch> branch_from(const Json& json) {
    if (!json.is_object()) return std::nullopt;
    const auto text = [&](const char* key) {
        const auto it = json.find(key);
        return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    const auto number = [&](const char* key) {
        const auto it = json.find(key);
        return it != json.end() && it->is_number_integer() ? it->get<std::int64_t>() : 0;
    };
    Branch branch{.id = text("id"),
                  .name = unescape_bytes(text("name")),
                  .agent_id = text("agent_id"),
                  .cwd = unescape_bytes(text("cwd")),
                  .from = text("from"),
                  .base_ns = number("base_ns"),
                  .made_ns = number("made_ns"),
                  .used_ns = number("used_ns")};
    if (!is_branch_id(branch.id) || branch.base_ns < 0) return std::nullopt;
    return branch;
}

Result<> copy_capture(const Store& store, const Manifest& from, const std::string& to_dir) {
    const std::string upper = from.dir + "/upper";
    SUB_TRY_ASSIGN(const sys::UniqueFd source, sys::open_at(store.fd(), from.dir, kDirectory));
    SUB_TRY_ASSIGN(const sys::UniqueFd target, sys::open_at(store.fd(), to_dir, kDirectory));
    SUB_TRY_ASSIGN(const auto st, sys::stat_at(store.fd(), upper.c_str()));
    if (!st) return fail({Errc::conflict, "the changes of " + from.span_id + " have gone meanwhile"});
    std::string left_out;
    // Whoever sees the copy is to see all of it.
    const capture::SkipSink skip = [&](std::string_view path, const char* reason) {
        if (left_out.empty()) left_out = printable(path) + ": " + reason;
    };
    SUB_TRY(capture::copy_directory(source.get(), "upper", *st, target.get(), "upper",
                                    {.keep_owner = sys::effective_uid() == 0,
                                     .keep_sockets = true,
                                     .unlock_source = true,
                                     .whole_layer = true},
                                    skip));
    if (left_out.empty()) return {};
    return fail({Errc::unsupported, "the changes of " + from.span_id + " cannot be copied: " + left_out});
}

}  // namespace

Result<> save_branch(const Store& store, const Branch& branch) {
    if (auto made = sys::make_dir_at(store.fd(), kBranches, 0700); !made && made.error().os_errno() != EEXIST)
        return made;
    return sys::replace_file(store.path() + "/" + file_of(branch.id), dump_json(to_json(branch)), 0600);
}

Result<std::vector<Branch>> list_branches(const Store& store) {
    std::vector<Branch> found;
    const auto dir = sys::open_at(store.fd(), kBranches, kDirectory);
    if (!dir && dir.error().os_errno() == ENOENT) return found;
    if (!dir) return fail(dir.error());
    sys::DirectoryReader reader(dir->get());
    for (;;) {
        SUB_TRY_ASSIGN(const auto* entry, reader.next());
        if (entry == nullptr) return found;
        const std::string_view name = entry->view();
        if (!name.ends_with(kSuffix)) continue;
        const std::string id(name.substr(0, name.size() - kSuffix.size()));
        if (!is_branch_id(id)) continue;
        const auto text = sys::read_file(store.path() + "/" + file_of(id), kMostFile);
        const auto json = text ? parse_json(*text) : Result<Json>(fail(text.error()));
        auto branch = json ? branch_from(*json) : std::nullopt;
        if (branch && branch->id == id) found.push_back(std::move(*branch));
    }
}

Result<> remove_branch(const Store& store, const std::string& id) {
    auto gone = sys::unlink_at(store.fd(), file_of(id).c_str());
    if (!gone && gone.error().os_errno() == ENOENT) return {};
    return gone;
}

std::vector<std::string> pending_uppers(const std::vector<Manifest>& all, std::string_view line) {
    std::vector<std::string> uppers;
    for (const Manifest& manifest : all)
        if (manifest.state == KeptState::pending && manifest.strategy == CaptureStrategy::overlay &&
            manifest.branch == line)
            uppers.insert(uppers.begin(), manifest.dir + "/upper");
    return uppers;
}

Result<std::vector<std::string>> branch_layers(const Store& store, const Branch& branch) {
    SUB_TRY_ASSIGN(const auto all, store.list());
    std::vector<std::string> layers = pending_uppers(all, branch.id);
    SUB_TRY_ASSIGN(auto base, base_layers(store, branch.id, branch.base_ns));
    layers.insert(layers.end(), std::make_move_iterator(base.begin()), std::make_move_iterator(base.end()));
    if (layers.size() > kMostLayers)
        return fail(Error(Errc::conflict,
                          fmt::format("{} changes lie over each other in {}", layers.size(), branch.id))
                        .hint("apply or discard them"));
    return layers;
}

Result<> copy_line(Store& store, const Env& env, std::string_view from, const Branch& to) {
    SUB_TRY_ASSIGN(const auto all, store.list());
    for (const Manifest& manifest : all) {
        if (manifest.state != KeptState::pending || manifest.branch != from) continue;
        if (manifest.strategy != CaptureStrategy::overlay)
            return fail(
                Error(Errc::unsupported,
                      fmt::format("the changes of {} were captured by {}, and no other world can lie on such",
                                  manifest.span_id, to_string(manifest.strategy)))
                    .hint("apply or discard them first"));
        Manifest copy = manifest;
        copy.span_id = make_span_id(env);
        copy.world_id = to.id;
        copy.branch = to.id;
        copy.base_ns = to.base_ns;
        copy.copied_from = manifest.span_id;
        copy.before_ns.clear();
        copy.settled_ns = env.realtime_ns();
        copy.dir = Store::span_dir(copy.span_id);
        SUB_TRY(store.save(copy));
        SUB_TRY(copy_capture(store, manifest, copy.dir));
    }
    return {};
}

Result<> drop_line(Store& store, std::string_view line) {
    SUB_TRY_ASSIGN(const auto all, store.list());
    for (const Manifest& manifest : all) {
        if (manifest.branch != line || manifest.state == KeptState::applied) continue;
        SUB_TRY(store.drop(manifest));
    }
    return {};
}

}  // namespace substrate::supervisor
