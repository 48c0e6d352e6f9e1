#include "broker/compiled_cache.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "codec/digest.hpp"
#include "policy/compiled_layout.hpp"
#include "policy/compiled_policy.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::broker {
namespace {

constexpr std::size_t kMaxFiles = 128;

struct Mapping {
    void* at;
    std::size_t size;
    Mapping(void* address, std::size_t bytes) : at(address), size(bytes) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping() { ::munmap(at, size); }
};

std::optional<CompiledBytes> map_file(const std::string& path, std::string_view hash) {
    const auto fd = sys::open_path(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!fd) return std::nullopt;
    const auto st = sys::stat_fd(fd->get());
    if (!st || !S_ISREG(st->stx_mode) || st->stx_uid != sys::effective_uid() || (st->stx_mode & 022) != 0 ||
        st->stx_size == 0)
        return std::nullopt;
    void* const at = ::mmap(nullptr, st->stx_size, PROT_READ, MAP_PRIVATE, fd->get(), 0);
    if (at == MAP_FAILED) return std::nullopt;
    auto mapping = std::make_shared<const Mapping>(at, st->stx_size);
    const std::string_view bytes(static_cast<const char*>(at), st->stx_size);
    const auto opened = policy::CompiledPolicy::open(bytes);
    if (!opened || opened->policy_hash() != hash) return std::nullopt;
    return CompiledBytes{bytes, std::move(mapping)};
}

CompiledBytes hold(std::string_view bytes) {
    // Of words, for their alignment.
    auto words = std::make_shared<std::vector<std::uint64_t>>((bytes.size() + 7) / 8);
    auto* const at = reinterpret_cast<char*>(words->data());
    std::ranges::copy(bytes, at);
    return {{at, bytes.size()}, std::move(words)};
}

// Keeps the cache small: when it is full it is made anew.
void make_room(const std::string& directory) {
    const auto fd = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
    if (!fd) return;
    std::vector<std::string> names;
    sys::DirectoryReader reader(fd->get());
    for (auto entry = reader.next(); entry && *entry != nullptr; entry = reader.next())
        names.emplace_back((*entry)->name);
    if (names.size() < kMaxFiles) return;
    for (const std::string& name : names) (void)sys::unlink_at(fd->get(), name.c_str());
}

}  // namespace

std::string compiled_name(const Policy& policy, const policy::PatternValues& values) {
    std::string key = policy.hash;
    for (const std::string_view part : {values.project, values.home}) key.append(1, '\0').append(part);
    key += '\0' + std::to_string(policy::kCompiledVersion);
    return sha256_hex(key) + ".bin";
}

Result<CompiledBytes> compiled_bytes(const std::string& directory, const Policy& policy,
                                     const policy::PatternValues& values) {
    if (directory.empty()) {
        SUB_TRY_ASSIGN(const std::string bytes, policy::compile_policy(policy, values));
        return hold(bytes);
    }
    const std::string path = directory + "/" + compiled_name(policy, values);
    if (auto mapped = map_file(path, policy.hash)) return std::move(*mapped);
    SUB_TRY_ASSIGN(const std::string bytes, policy::compile_policy(policy, values));
    if (sys::make_dirs(directory, 0700) && sys::open_private_dir(directory)) {
        make_room(directory);
        (void)sys::replace_file(path, bytes, 0600);
    }
    return hold(bytes);
}

}  // namespace substrate::broker
