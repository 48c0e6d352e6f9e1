#include "world/capture_mount.hpp"

#include <fcntl.h>

#include <vector>

#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/mount.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::world {
namespace {

// Short enough for fsconfig(2), whatever the store's own path is.
std::string fd_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

Result<sys::UniqueFd> CaptureMount::make_overlay(const CaptureSlot& slot) const {
    std::vector<sys::FsOption> options;
    // The layers' descriptors live until the mount has been made.
    std::vector<sys::UniqueFd> layers;
    const auto layer = [&](const std::string& path) -> Result<std::string> {
        SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_beneath(staging_.store.get(), path, O_PATH | O_DIRECTORY));
        std::string name = fd_path(fd.get());
        layers.push_back(std::move(fd));
        return name;
    };
    const std::string project = fd_path(staging_.lower.get());
    std::string joined;
    for (const std::string& lower : slot.lowers) {
        SUB_TRY_ASSIGN(const std::string name, layer(lower));
        joined += name + ":";
    }
    joined += project;
    constexpr std::size_t kMostValue = 255;  // of fsconfig(2)
    if (joined.size() <= kMostValue) {
        options.push_back({"lowerdir", std::move(joined)});
    } else {
        // KERNEL(6.7): one layer at a time.
        for (const sys::UniqueFd& fd : layers) options.push_back({"lowerdir+", fd_path(fd.get())});
        options.push_back({"lowerdir+", project});
    }
    SUB_TRY_ASSIGN(std::string upper, layer(slot.path + "/upper"));
    SUB_TRY_ASSIGN(std::string work, layer(slot.path + "/work"));
    options.push_back({"upperdir", std::move(upper)});
    options.push_back({"workdir", std::move(work)});
    if (plan_.user_xattrs) options.push_back({.key = "userxattr", .value = {}, .is_flag = true});
    // Without it every unmount would write back the whole file system that holds
    // the upper directory. The price: fsync(2) does nothing inside the capture.
    options.push_back({.key = "volatile", .value = {}, .is_flag = true});
    return sys::mount_new("overlay", options, sys::kMountNoSuid | sys::kMountNoDev);
}

Result<sys::UniqueFd> CaptureMount::make(const CaptureSlot& slot) const {
    switch (plan_.strategy) {
        case CaptureStrategy::overlay: return make_overlay(slot);
        case CaptureStrategy::fuse: return sys::clone_tree(staging_.fuse.get(), "", /*recursive=*/false);
        case CaptureStrategy::copy_diff:
            return sys::clone_tree(staging_.store.get(), slot.path + "/tree", /*recursive=*/false);
        case CaptureStrategy::direct: return sys::clone_tree(staging_.lower.get(), "", /*recursive=*/true);
    }
    return fail({Errc::internal, "unknown capture strategy"});
}

// A volatile overlay leaves a mark in its work directory that forbids mounting
// the same upper directory again after a crash; this was not one. The rest of
// the directory goes too: removing it is the larger part of the next mount.
void CaptureMount::clear_work(const std::string& slot) const {
    const std::string work = slot + "/work/work";
    // What is not there, the kernel did not make.
    (void)sys::unlink_at(staging_.store.get(), (work + "/incompat/volatile/dirty").c_str());
    for (const char* dir : {"/incompat/volatile", "/incompat", ""})
        (void)sys::remove_dir_at(staging_.store.get(), (work + dir).c_str());
}

void CaptureMount::drop_prepared() {
    if (!prepared_) return;
    prepared_.reset();
    clear_work(prepared_slot_.path);
}

Result<> CaptureMount::prepare(const CaptureSlot& slot) {
    if (plan_.strategy != CaptureStrategy::overlay || is_of(slot)) return {};
    SUB_TRY(unmount());
    drop_prepared();
    SUB_TRY_ASSIGN(prepared_, make_overlay(slot));
    prepared_slot_ = slot;
    return {};
}

// What may be written below a read-only project exists before it is one. Not where the project
// itself is mounted: a directory that nobody asked for would stay on the host.
Result<> CaptureMount::restrict(int mount) const {
    if (!plan_.read_only) return {};
    if (plan_.strategy != CaptureStrategy::direct)
        for (const std::string& part : plan_.writable) SUB_TRY(sys::make_dirs_beneath(mount, part, 0755));
    return sys::set_attributes(mount, sys::kMountReadOnly, /*recursive=*/true);
}

Result<> CaptureMount::open_parts(int mount) const {
    if (!plan_.read_only) return {};
    for (const std::string& part : plan_.writable) {
        auto point = sys::open_beneath(mount, part, O_PATH);
        if (!point && point.error().os_errno() == ENOENT) continue;
        if (!point) return fail(std::move(point).error());
        SUB_TRY_ASSIGN(const sys::UniqueFd tree, sys::clone_tree(point->get(), "", /*recursive=*/true));
        SUB_TRY(sys::clear_attributes(tree.get(), sys::kMountReadOnly, /*recursive=*/true));
        SUB_TRY(sys::attach(tree.get(), point->get(), ""));
    }
    return {};
}

Result<> CaptureMount::cover(int mount) const {
    for (const WorldPath& mask : plan_.masks) {
        const std::string below = mask.str().substr(plan_.project.str().size() + 1);
        SUB_TRY_DURING(mask_path(mount, below, staging_.empty.get()), "hiding '" + mask.str() + "'");
    }
    return {};
}

Result<> CaptureMount::mount(const CaptureSlot& slot) {
    // Once more: what was held when it was told to forget may be free by now.
    if (is_of(slot) && sys::forget_names(mount_.get())) return {};
    SUB_TRY(unmount());
    if (prepared_ && prepared_slot_ != slot) drop_prepared();
    Result<sys::UniqueFd> made = prepared_ ? Result<sys::UniqueFd>(std::move(prepared_)) : make(slot);
    if (!made)
        return fail(std::move(made).error().during("mounting the capture of '" + plan_.project.str() + "'"));
    SUB_TRY_DURING(restrict(made->get()), "making '" + plan_.project.str() + "' read-only");
    SUB_TRY(sys::attach(made->get(), staging_.project.get(), ""));
    mount_ = std::move(*made);
    slot_ = slot;
    Result<> whole;
    if (plan_.strategy == CaptureStrategy::overlay) {
        auto access = access_of(slot);
        if (access) root_ = *access;
        else whole = fail(std::move(access).error());
    }
    if (whole) whole = open_parts(mount_.get());
    if (whole) whole = cover(mount_.get());
    if (whole && staging_.alias) whole = attach_alias();
    if (whole) return {};
    SUB_TRY(unmount());
    return whole;
}

Result<> CaptureMount::attach_alias() {
    SUB_TRY_ASSIGN(alias_, sys::clone_tree(mount_.get(), "", /*recursive=*/true));
    return sys::attach(alias_.get(), staging_.alias.get(), "");
}

Result<> CaptureMount::unmount() {
    if (!mount_) return {};
    if (alias_) SUB_TRY_DURING(sys::detach_mount(alias_.get()), "unmounting " + plan_.alias.str());
    alias_.reset();
    SUB_TRY_DURING(sys::detach_mount(mount_.get()),
                   "unmounting the capture of '" + plan_.project.str() + "'");
    mount_.reset();
    if (plan_.strategy == CaptureStrategy::overlay) clear_work(slot_.path);
    slot_ = {};
    return {};
}

Result<CaptureMount::Access> CaptureMount::access_of(const CaptureSlot& slot) const {
    SUB_TRY_ASSIGN(const auto st, sys::stat_at(staging_.store.get(), (slot.path + "/upper").c_str()));
    if (!st) return fail({Errc::not_found, "the capture's upper directory has gone"});
    return Access{st->stx_mode, st->stx_uid, st->stx_gid};
}

// What is covered or opened depends on what is there when a command starts.
bool CaptureMount::may_rest() const {
    if (!mount_ || plan_.strategy != CaptureStrategy::overlay || plan_.read_only || !plan_.masks.empty())
        return false;
    const auto upper = sys::open_beneath(staging_.store.get(), slot_.path + "/upper", O_RDONLY | O_DIRECTORY);
    if (!upper) return false;
    sys::DirectoryReader reader(upper->get());
    const auto entry = reader.next();
    return entry && *entry == nullptr;
}

bool CaptureMount::is_of(const CaptureSlot& slot) const {
    if (!mount_ || slot_ != slot) return false;
    const auto access = access_of(slot);
    return access && *access == root_;
}

Result<> CaptureMount::rest() {
    if (may_rest() && sys::forget_names(mount_.get())) return {};
    return unmount();
}

}  // namespace substrate::world
