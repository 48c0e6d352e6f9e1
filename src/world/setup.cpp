#include "world/setup.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>

#include <array>
#include <climits>
#include <cstdio>
#include <cstdlib>

#include "sys/file.hpp"
#include "sys/mount.hpp"
#include "sys/namespace.hpp"
#include "sys/socket.hpp"
#include "world/fuse_capture.hpp"

namespace substrate::world {
namespace {

using sys::FsOption;
using sys::UniqueFd;

using plan::kStagingPath;

constexpr int kMostMaskTries = 100;
constexpr int kDoorBacklog = 64;

std::string octal(std::uint32_t mode) {
    char text[16];
    std::snprintf(text, sizeof text, "%o", mode);
    return text;
}

// The new root while it is being built: every target is resolved inside it.
class RootBuilder {
  public:
    explicit RootBuilder(std::string mount_point) : mount_point_(std::move(mount_point)) {}

    Result<> start(const plan::Tmpfs& tmpfs);
    Result<> apply(const plan::MountOp& op);
    // An empty directory at `path`, for mounting something there.
    Result<UniqueFd> directory(const std::string& path, mode_t mode = 0755);
    Result<> make_empty_directory();
    // Read-only from here on: the file systems that were marked so.
    Result<> seal();
    int root() const { return root_.get(); }
    UniqueFd take_empty() { return std::move(empty_); }

  private:
    Result<UniqueFd> parent(const std::string& path);
    Result<UniqueFd> file(const std::string& path);
    Result<> bind(const std::string& target, const plan::Bind& bind);
    Result<> host_socket(const std::string& path);
    Result<> mount_fresh(const std::string& target, const char* type, std::span<const FsOption> options,
                         std::uint64_t attributes);
    Result<> tmpfs(const std::string& target, const plan::Tmpfs& tmpfs);
    Result<> text(const std::string& target, const std::string& content);
    // Where the link `path` leads, one step, as a path of the new root.
    Result<std::string> link_target(const std::string& path);

    std::string mount_point_;
    UniqueFd root_;
    UniqueFd empty_;
    std::vector<UniqueFd> to_seal_;
    int texts_ = 0;
};

std::vector<FsOption> tmpfs_options(const plan::Tmpfs& tmpfs) {
    std::vector<FsOption> options = {{"mode", octal(tmpfs.mode)}};
    if (tmpfs.size_bytes != 0) options.push_back({"size", std::to_string(tmpfs.size_bytes)});
    if (tmpfs.files != 0) options.push_back({"nr_inodes", std::to_string(tmpfs.files)});
    return options;
}

Result<> RootBuilder::start(const plan::Tmpfs& tmpfs) {
    SUB_TRY_ASSIGN(root_,
                   sys::mount_new("tmpfs", tmpfs_options(tmpfs), sys::kMountNoSuid | sys::kMountNoDev));
    return sys::attach(root_.get(), AT_FDCWD, mount_point_);
}

Result<UniqueFd> RootBuilder::parent(const std::string& path) {
    const std::string name(parent_of(path));
    auto opened = sys::open_in_root(root_.get(), name, O_PATH | O_DIRECTORY);
    if (opened || opened.error().os_errno() != ENOENT) return opened;
    return directory(name);
}

Result<UniqueFd> RootBuilder::directory(const std::string& path, mode_t mode) {
    SUB_TRY_ASSIGN(const UniqueFd above, parent(path));
    const std::string name = path.substr(path.find_last_of('/') + 1);
    // Mostly it is new. The mode is as asked for: set_up_world clears the umask.
    if (::mkdirat(above.get(), name.c_str(), mode) == 0)
        return sys::open_at(above.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (errno != EEXIST) return fail(Error::last_os("mkdir", path));
    return sys::open_in_root(root_.get(), path, O_PATH | O_DIRECTORY);
}

Result<UniqueFd> RootBuilder::file(const std::string& path) {
    SUB_TRY_ASSIGN(const UniqueFd above, parent(path));
    const std::string name = path.substr(path.find_last_of('/') + 1);
    if (::mknodat(above.get(), name.c_str(), S_IFREG | 0666, 0) != 0 && errno != EEXIST)
        return fail(Error::last_os("mknod", path));
    return sys::open_at(above.get(), name, O_PATH | O_NOFOLLOW);
}

Result<> RootBuilder::bind(const std::string& target, const plan::Bind& bind) {
    auto cloned = sys::clone_tree(AT_FDCWD, bind.source.str(), /*recursive=*/!bind.device);
    const int why = cloned ? 0 : cloned.error().os_errno();
    if (bind.optional && (why == ENOENT || why == ENOTDIR || why == EACCES)) return {};
    SUB_TRY_ASSIGN(const UniqueFd tree, std::move(cloned));
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(tree.get()));
    // What the link leads to, the plan does not know.
    if (bind.optional && S_ISLNK(st.stx_mode)) return {};
    std::uint64_t attributes = sys::kMountNoSuid;
    if (bind.read_only) attributes |= sys::kMountReadOnly;
    if (bind.device) attributes |= sys::kMountNoExec;
    else attributes |= sys::kMountNoDev;
    SUB_TRY(sys::set_attributes(tree.get(), attributes, /*recursive=*/!bind.device));
    SUB_TRY_ASSIGN(const UniqueFd point, S_ISDIR(st.stx_mode) ? directory(target) : file(target));
    return sys::attach(tree.get(), point.get(), "");
}

// A mount that is read-only keeps its mode and owner, and nobody from connecting. What the name has become
// since the plan was made is not shown.
Result<> RootBuilder::host_socket(const std::string& path) {
    const UniqueFd socket(
        sys::open_resolving(AT_FDCWD, path.c_str(), O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS));
    if (!socket) return {};
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(socket.get()));
    if (!S_ISSOCK(st.stx_mode)) return {};
    SUB_TRY_ASSIGN(const UniqueFd tree, sys::clone_tree(socket.get(), "", /*recursive=*/false));
    SUB_TRY(sys::set_attributes(
        tree.get(), sys::kMountReadOnly | sys::kMountNoSuid | sys::kMountNoDev | sys::kMountNoExec,
        /*recursive=*/false));
    SUB_TRY_ASSIGN(const UniqueFd point, file(path));
    return sys::attach(tree.get(), point.get(), "");
}

Result<> RootBuilder::mount_fresh(const std::string& target, const char* type,
                                  std::span<const FsOption> options, std::uint64_t attributes) {
    SUB_TRY_ASSIGN(const UniqueFd mount, sys::mount_new(type, options, attributes));
    SUB_TRY_ASSIGN(const UniqueFd point, directory(target));
    return sys::attach(mount.get(), point.get(), "");
}

Result<> RootBuilder::tmpfs(const std::string& target, const plan::Tmpfs& tmpfs) {
    SUB_TRY_ASSIGN(UniqueFd mount,
                   sys::mount_new("tmpfs", tmpfs_options(tmpfs), sys::kMountNoSuid | sys::kMountNoDev));
    SUB_TRY_ASSIGN(const UniqueFd point, directory(target));
    SUB_TRY(sys::attach(mount.get(), point.get(), ""));
    if (tmpfs.read_only) to_seal_.push_back(std::move(mount));
    return {};
}

Result<> RootBuilder::make_empty_directory() {
    const std::string path = std::string(kStagingPath) + "/empty";
    const std::array options = {FsOption{"mode", "555"}, FsOption{"size", "4096"}};
    SUB_TRY(mount_fresh(path, "tmpfs", options,
                        sys::kMountReadOnly | sys::kMountNoSuid | sys::kMountNoDev | sys::kMountNoExec));
    SUB_TRY_ASSIGN(empty_, sys::open_in_root(root_.get(), path, O_PATH | O_DIRECTORY));
    return {};
}

Result<> read_only_over(int root, const std::string& path) {
    auto point = sys::open_in_root(root, path, O_PATH);
    if (!point && point.error().os_errno() == ENOENT) return {};
    if (!point) return fail(std::move(point).error());
    SUB_TRY_ASSIGN(const UniqueFd tree, sys::clone_tree(point->get(), "", /*recursive=*/true));
    SUB_TRY(sys::set_attributes(tree.get(), sys::kMountReadOnly, /*recursive=*/true));
    return sys::attach(tree.get(), point->get(), "");
}

Result<> RootBuilder::apply(const plan::MountOp& op) {
    const std::string& target = op.target.str();
    constexpr std::uint64_t kKernelFs = sys::kMountNoSuid | sys::kMountNoDev | sys::kMountNoExec;
    if (const auto* bind_op = std::get_if<plan::Bind>(&op.action)) return bind(target, *bind_op);
    if (const auto* tmpfs_op = std::get_if<plan::Tmpfs>(&op.action)) return tmpfs(target, *tmpfs_op);
    if (std::holds_alternative<plan::HostSocket>(op.action)) return host_socket(target);
    if (std::holds_alternative<plan::Proc>(op.action)) {
        const std::array options = {FsOption{"hidepid", "invisible"}};  // KERNEL(5.8)
        return mount_fresh(target, "proc", options, kKernelFs);
    }
    if (std::holds_alternative<plan::Devpts>(op.action)) {
        // Of the 4,096 that the machine has; the last 1,024 are the host's
        // (Documentation/filesystems/devpts.rst).
        const std::array options = {FsOption{"ptmxmode", "0666"}, FsOption{"mode", "0620"},
                                    FsOption{"max", "1024"}};
        return mount_fresh(target, "devpts", options, sys::kMountNoSuid | sys::kMountNoExec);
    }
    if (std::holds_alternative<plan::Mask>(op.action)) return mask_path(root_.get(), target, empty_.get());
    if (std::holds_alternative<plan::ReadOnly>(op.action)) return read_only_over(root_.get(), target);
    if (const auto* link = std::get_if<plan::Symlink>(&op.action)) {
        SUB_TRY_ASSIGN(const UniqueFd above, parent(target));
        const std::string name = target.substr(target.find_last_of('/') + 1);
        if (::symlinkat(link->to.c_str(), above.get(), name.c_str()) != 0)
            return fail(Error::last_os("symlink", target));
        return {};
    }
    if (const auto* file = std::get_if<plan::Text>(&op.action)) return text(target, file->content);
    SUB_TRY(directory(target, std::get<plan::Directory>(op.action).mode));
    return {};
}

// Beside the staged mounts, where no path of the world leads; only its mount shows it.
Result<> RootBuilder::text(const std::string& target, const std::string& content) {
    auto point = sys::open_in_root(root_.get(), target, O_PATH);
    if (!point && point.error().os_errno() == ENOENT) {
        // A link that leads into a place of the world's own; for anything else there is no room.
        const auto place = link_target(target);
        // A host without the file has no room for it either: what reads it does without.
        if (!place && place.error().os_errno() == ENOENT) return {};
        if (!place) return fail(place.error());
        point = file(*place);
    }
    if (!point) return fail(std::move(point).error());
    const std::string kept = std::string(kStagingPath) + "/text-" + std::to_string(texts_++);
    SUB_TRY_ASSIGN(const UniqueFd shown, file(kept));
    SUB_TRY_ASSIGN(const UniqueFd writable, sys::open_in_root(root_.get(), kept, O_WRONLY));
    SUB_TRY(sys::write_all(writable.get(), content));
    if (::fchmod(writable.get(), 0444) != 0) return fail(Error::last_os("chmod", target));
    SUB_TRY_ASSIGN(const UniqueFd mount, sys::clone_tree(shown.get(), "", /*recursive=*/false));
    SUB_TRY(sys::set_attributes(
        mount.get(), sys::kMountReadOnly | sys::kMountNoSuid | sys::kMountNoDev | sys::kMountNoExec,
        /*recursive=*/false));
    return sys::attach(mount.get(), point->get(), "");
}

Result<std::string> RootBuilder::link_target(const std::string& path) {
    SUB_TRY_ASSIGN(const UniqueFd above, parent(path));
    std::array<char, PATH_MAX> buffer{};
    const ssize_t length = ::readlinkat(above.get(), path.substr(path.find_last_of('/') + 1).c_str(),
                                        buffer.data(), buffer.size());
    if (length < 0) return fail(Error::last_os("readlink", path));
    const std::string_view to(buffer.data(), static_cast<std::size_t>(length));
    return normalized(to.starts_with('/') ? std::string(to)
                                          : std::string(parent_of(path)) + "/" + std::string(to));
}

int turn_of(const plan::MountOp& op) {
    if (std::holds_alternative<plan::Text>(op.action)) return 1;
    return std::holds_alternative<plan::Mask>(op.action) ? 2 : 0;
}

// user_namespaces(7): limits belong to the namespace of who opens the file, which is the world's.
Result<> forbid_user_namespaces(int root) {
    SUB_TRY_ASSIGN(const UniqueFd limit,
                   sys::open_in_root(root, "/proc/sys/user/max_user_namespaces", O_WRONLY));
    return sys::write_all(limit.get(), "0");
}

// What the kernel counts for the person as well as for the world: a world may have half of it, so that
// the person keeps the other half. And what it keeps of a world when its processes are gone: shared
// memory, no more than /dev/shm may hold. Files that this kernel does not have, or (before 6.0) gives to the
// machine's root only, stay as they are.
Result<> share_inotify(int root) {
    const auto write = [&](const char* path, std::uint64_t value) -> Result<> {
        const auto limit = sys::open_in_root(root, path, O_WRONLY);
        if (!limit) return {};
        return sys::write_all(limit->get(), std::to_string(value));
    };
    const auto number = [&](const char* path) -> std::uint64_t {
        const auto file = sys::open_in_root(root, path, O_RDONLY);
        const auto text = file ? sys::read_to_end(file->get(), 64) : fail(file.error());
        return text ? std::strtoull(text->c_str(), nullptr, 10) : 0;
    };
    for (const auto& [own, machines] :
         {std::pair{"/proc/sys/user/max_inotify_instances", "/proc/sys/fs/inotify/max_user_instances"},
          std::pair{"/proc/sys/user/max_inotify_watches", "/proc/sys/fs/inotify/max_user_watches"}})
        if (const std::uint64_t most = number(machines); most > 1) SUB_TRY(write(own, most / 2));
    return {};
}

Result<> RootBuilder::seal() {
    for (const UniqueFd& mount : to_seal_)
        SUB_TRY(sys::set_attributes(mount.get(), sys::kMountReadOnly, /*recursive=*/false));
    return sys::set_attributes(root_.get(), sys::kMountReadOnly, /*recursive=*/false);
}

Result<> check_identity(int project, const plan::CapturePlan& capture) {
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(project));
    if (st.stx_ino != capture.project_inode || sys::device_of(st) != capture.project_device)
        return fail(
            Error(Errc::safety, "'" + capture.project.str() + "' was replaced while the world was being made")
                .hint("run the command again"));
    return {};
}

// What captures are made of, cloned before anything is mounted: the new root is
// attached inside the store. Layers must stay mounted in this namespace:
// overlayfs takes them from nowhere else.
struct Layers {
    UniqueFd lower;
    UniqueFd store;
};

Result<Layers> clone_layers(const plan::CapturePlan& capture) {
    constexpr std::uint64_t kBase = sys::kMountNoSuid | sys::kMountNoDev;
    const bool writable = capture.strategy == CaptureStrategy::direct;
    Layers layers;
    SUB_TRY_ASSIGN(layers.lower, sys::clone_tree(AT_FDCWD, capture.project.str(), /*recursive=*/true));
    SUB_TRY(check_identity(layers.lower.get(), capture));
    SUB_TRY(sys::set_attributes(layers.lower.get(), writable ? kBase : kBase | sys::kMountReadOnly,
                                /*recursive=*/true));
    SUB_TRY_ASSIGN(layers.store, sys::clone_tree(AT_FDCWD, capture.store.str(), /*recursive=*/true));
    SUB_TRY(sys::set_attributes(layers.store.get(), kBase, /*recursive=*/true));
    return layers;
}

Result<> stage(RootBuilder& root, const Layers& layers) {
    SUB_TRY_ASSIGN(const UniqueFd lower, root.directory(std::string(kStagingPath) + "/lower"));
    SUB_TRY(sys::attach(layers.lower.get(), lower.get(), ""));
    SUB_TRY_ASSIGN(const UniqueFd store, root.directory(std::string(kStagingPath) + "/store"));
    return sys::attach(layers.store.get(), store.get(), "");
}

// Inside the new root: open what was staged, then cover the staging directory,
// so that its mounts exist but cannot be named.
Result<Staging> open_staging(const plan::WorldPlan& plan, UniqueFd empty) {
    Staging staging;
    const std::string base = kStagingPath;
    SUB_TRY_ASSIGN(staging.lower, sys::open_path(base + "/lower", O_PATH | O_DIRECTORY));
    SUB_TRY_ASSIGN(staging.store, sys::open_path(base + "/store", O_PATH | O_DIRECTORY));
    if (plan.capture.strategy == CaptureStrategy::fuse) {
        SUB_TRY_ASSIGN(staging.fuse, sys::open_path(base + "/fuse", O_PATH | O_DIRECTORY));
    }
    SUB_TRY_ASSIGN(staging.project, sys::open_path(plan.capture.project.str(), O_PATH | O_DIRECTORY));
    if (!plan.capture.alias.empty()) {
        SUB_TRY_ASSIGN(staging.alias, sys::open_path(plan.capture.alias.str(), O_PATH | O_DIRECTORY));
    }
    SUB_TRY_ASSIGN(const UniqueFd cover, sys::clone_tree(empty.get(), "", /*recursive=*/false));
    SUB_TRY(sys::attach(cover.get(), AT_FDCWD, base));
    staging.empty = std::move(empty);
    return staging;
}

// Before the root is read-only: afterwards nobody can put another socket in its place.
Result<UniqueFd> make_door(const RootBuilder& root, const WorldPath& door) {
    if (door.empty()) return UniqueFd();
    SUB_TRY_ASSIGN(const UniqueFd above,
                   sys::open_in_root(root.root(), std::string(parent_of(door.str())), O_PATH | O_DIRECTORY));
    return sys::listen_in(above.get(), door.str().substr(door.str().find_last_of('/') + 1), kDoorBacklog);
}

}  // namespace

Result<> mask_path(int root, const std::string& path, int empty_directory) {
    // What is removed on the host before we have covered it is not there any more, or it is another one.
    for (int tries = 0;; ++tries) {
        auto point = sys::open_in_root(root, path, O_PATH);
        // Everything is mounted by now: what we cannot find or reach with all rights of
        // the namespace, a command cannot either.
        if (!point && (point.error().os_errno() == ENOENT || point.error().os_errno() == EACCES)) return {};
        if (!point) return fail(std::move(point).error());
        SUB_TRY_ASSIGN(const auto st, sys::stat_fd(point->get()));
        SUB_TRY_ASSIGN(const UniqueFd cover,
                       S_ISDIR(st.stx_mode) ? sys::clone_tree(empty_directory, "", /*recursive=*/false)
                                            : sys::clone_tree(AT_FDCWD, "/dev/null", /*recursive=*/false));
        auto covered = sys::attach(cover.get(), point->get(), "");
        if (covered || covered.error().os_errno() != ENOENT || tries == kMostMaskTries) return covered;
    }
}

Result<> join_cgroups(const std::vector<UniqueFd>& tasks) {
    for (const UniqueFd& file : tasks)
        SUB_TRY_DURING(sys::write_all(file.get(), "0"), "joining a control group");
    return {};
}

Result<Staging> set_up_world(const plan::WorldPlan& plan) {
    // Must come first: without it every mount below would appear on the host.
    SUB_TRY_DURING(sys::make_all_private(), "making mounts private");
    SUB_TRY_DURING(sys::set_hostname(plan.hostname), "setting the host name");
    ::umask(0);

    const std::string mount_point = plan.capture.store.str() + "/worlds/" + plan.world_id;
    RootBuilder root(mount_point);
    if (plan.mounts.empty() || plan.mounts.front().target.str() != "/")
        return fail({Errc::internal, "the plan does not begin with the root"});
    auto layers = clone_layers(plan.capture);
    if (!layers) return fail(std::move(layers).error().during("cloning the project and its store"));
    SUB_TRY_DURING(root.start(std::get<plan::Tmpfs>(plan.mounts.front().action)), "mounting the root");
    SUB_TRY_DURING(root.make_empty_directory(), "mounting the empty directory");
    SUB_TRY_DURING(stage(root, *layers), "staging the project");
    // Below it is made read-only.
    const auto made = [&](const plan::MountOp& op) -> Result<> {
        SUB_TRY(root.apply(op));
        // Without a user namespace these would be the machine's limits.
        if (!plan.user_namespace || !std::holds_alternative<plan::Proc>(op.action)) return {};
        SUB_TRY(share_inotify(root.root()));
        return plan.user_namespaces_inside ? Result<>() : forbid_user_namespaces(root.root());
    };
    // Texts and masks last: until all is mounted, a link on the way to one may lead nowhere.
    for (const int turn : {0, 1, 2})
        for (std::size_t i = 1; i < plan.mounts.size(); ++i)
            if (turn_of(plan.mounts[i]) == turn)
                SUB_TRY_DURING(made(plan.mounts[i]), "mount plan, " + plan::to_text(plan.mounts[i]));
    SUB_TRY_DURING(root.directory(plan.capture.project.str()), "making the project's directory");
    if (!plan.capture.alias.empty())
        SUB_TRY_DURING(root.directory(plan.capture.alias.str()), "making " + plan.capture.alias.str());
    if (plan.capture.strategy == CaptureStrategy::fuse) {
        SUB_TRY_DURING(root.directory(std::string(kStagingPath) + "/fuse"), "making the FUSE directory");
        SUB_TRY_DURING(mount_fuse_capture(plan, mount_point + kStagingPath), "mounting fuse-overlayfs");
    }
    auto door = make_door(root, plan.door);
    if (!door) return fail(std::move(door).error().during("making the door"));
    SUB_TRY_DURING(root.seal(), "making the root read-only");
    SUB_TRY_DURING(sys::pivot_into(mount_point), "entering the new root");
    auto staging = open_staging(plan, root.take_empty());
    if (!staging) return fail(std::move(staging).error().during("opening what captures need"));
    staging->door = std::move(*door);
    return staging;
}

}  // namespace substrate::world
