#include "world/fuse_capture.hpp"

#include <fcntl.h>
#include <sys/wait.h>

#include <array>

#include "process/spawn.hpp"
#include "sys/file.hpp"

namespace substrate::world {

Result<> run_fuse_overlayfs(const std::string& program, const FuseOverlay& overlay) {
    for (const std::string* path : {&overlay.lower, &overlay.upper, &overlay.work})
        if (path->find_first_of(",:\\") != std::string::npos)
            return fail({Errc::unsupported, "fuse-overlayfs cannot take the path '" + *path + "'"});
    std::string program_path = program;
    std::string flag = "-o";
    std::string options =
        "lowerdir=" + overlay.lower + ",upperdir=" + overlay.upper + ",workdir=" + overlay.work;
    std::string mount_point = overlay.mount_point;
    std::string search_path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    std::array<char*, 5> argv = {program_path.data(), flag.data(), options.data(), mount_point.data(),
                                 nullptr};
    std::array<char*, 2> envp = {search_path.data(), nullptr};
    process::ChildPlan plan;
    plan.program = program_path.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    for (int fd = 0; fd < 3; ++fd) plan.placements[fd] = {fd, fd};
    plan.placement_count = 3;
    plan.raise_ambient_capabilities = true;
    SUB_TRY_ASSIGN(const process::Child child, process::spawn(plan));
    SUB_TRY_ASSIGN(const int status, process::wait_for(child));
    if (status != 0)
        return fail(
            {Errc::unsupported, "fuse-overlayfs ended with status " + std::to_string(WEXITSTATUS(status))});
    constexpr std::int64_t kFuseMagic = 0x65735546;  // FUSE_SUPER_MAGIC of linux/magic.h
    SUB_TRY_ASSIGN(const sys::UniqueFd mounted, sys::open_path(mount_point, O_PATH | O_DIRECTORY));
    SUB_TRY_ASSIGN(const std::int64_t magic, sys::file_system_magic(mounted.get()));
    if (magic != kFuseMagic) return fail({Errc::unsupported, "fuse-overlayfs returned without a mount"});
    return {};
}

Result<> mount_fuse_capture(const plan::WorldPlan& plan, const std::string& staging) {
    const std::string slot = staging + "/store/worlds/" + plan.world_id + "/slots/0";
    return run_fuse_overlayfs(plan.capture.fuse_program, {.lower = staging + "/lower",
                                                          .upper = slot + "/upper",
                                                          .work = slot + "/work",
                                                          .mount_point = staging + "/fuse"});
}

}  // namespace substrate::world
