#include "world/probe_child.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <unistd.h>

#include <array>
#include <functional>

#include "plan/wire.hpp"
#include "plan/world_plan.hpp"
#include "sys/file.hpp"
#include "sys/link.hpp"
#include "sys/mount.hpp"
#include "sys/namespace.hpp"
#include "world/fuse_capture.hpp"
#include "world/uplink_rules.hpp"

namespace substrate::world {
namespace {

constexpr std::uint32_t kQuestionMagic = 0x53575051;  // "SWPQ"

std::string outcome(const Result<>& result) { return result ? std::string() : result.error().message(); }

Result<> try_proc(const std::string& scratch) {
    const std::array options = {sys::FsOption{"hidepid", "invisible"}};
    SUB_TRY_ASSIGN(const sys::UniqueFd mount,
                   sys::mount_new("proc", options, sys::kMountNoSuid | sys::kMountNoDev));
    return sys::attach(mount.get(), AT_FDCWD, scratch + "/root");
}

// A write through the mount must be found in the upper directory: there are
// machines where the mount succeeds and captures nothing.
Result<> expect_captured(const std::string& scratch) {
    const std::string name = "/probe";
    SUB_TRY_ASSIGN(const sys::UniqueFd file,
                   sys::open_path(scratch + "/merged" + name, O_WRONLY | O_CREAT, 0600));
    SUB_TRY(sys::write_all(file.get(), "x"));
    SUB_TRY_ASSIGN(const auto captured, sys::stat_at(AT_FDCWD, (scratch + "/upper" + name).c_str()));
    if (!captured || captured->stx_size != 1)
        return fail({Errc::unsupported, "a write does not appear in the upper directory"});
    if (::unlink((scratch + "/upper" + name).c_str()) != 0) return fail(Error::last_os("unlink"));
    return {};
}

Result<> try_overlay(const ProbeQuestion& question) {
    const std::string& scratch = question.scratch;
    SUB_TRY_ASSIGN(const sys::UniqueFd upper, sys::open_path(scratch + "/upper", O_PATH | O_DIRECTORY));
    constexpr std::int64_t kTmpfsMagic = 0x01021994;  // TMPFS_MAGIC of linux/magic.h
    SUB_TRY_ASSIGN(const std::int64_t magic, sys::file_system_magic(upper.get()));
    if (magic == kTmpfsMagic)
        return fail(
            {Errc::unsupported, "the capture directory is on a tmpfs: changes would fill the memory"});
    if (::chdir(scratch.c_str()) != 0) return fail(Error::last_os("chdir", scratch));
    std::array<sys::FsOption, 5> options = {{{"lowerdir", "lower"},
                                             {"upperdir", "upper"},
                                             {"workdir", "work"},
                                             {.key = "volatile", .value = {}, .is_flag = true},
                                             {.key = "userxattr", .value = {}, .is_flag = true}}};
    const std::size_t count = question.user_xattrs ? 5 : 4;
    SUB_TRY_ASSIGN(const sys::UniqueFd mount, sys::mount_new("overlay", std::span(options).first(count), 0));
    SUB_TRY(sys::attach(mount.get(), AT_FDCWD, scratch + "/merged"));
    auto captured = expect_captured(scratch);
    SUB_TRY(sys::detach_mount(mount.get()));
    return captured;
}

// The rules that a world with a way out has.
Result<> try_nftables(bool ipv6) {
    plan::WorldPlan plan;
    plan.network = plan::NetworkMode::gateway;
    plan.uplink = {.table = "substrate_probe", .networks = {}, .ipv6 = ipv6};
    sys::NetlinkBatch rules = uplink_rules(plan);
    return sys::netlink_transact_once(NETLINK_NETFILTER, rules);
}

Result<> try_veth() {
    SUB_TRY_ASSIGN(const sys::UniqueFd network, sys::open_path("/proc/self/ns/net", O_RDONLY));
    sys::LinkBatch pair;
    pair.add_veth({.name = "probe0", .hardware = {2, 0, 0, 0, 0, 1}},
                  {.name = "probe1", .hardware = {2, 0, 0, 0, 0, 2}}, network.get());
    return sys::netlink_transact_once(NETLINK_ROUTE, pair.netlink());
}

Result<> try_fuse(const ProbeQuestion& question) {
    if (::access("/dev/fuse", R_OK | W_OK) != 0) return fail(Error::last_os("access", "/dev/fuse"));
    const std::string& scratch = question.scratch;
    SUB_TRY(sys::make_dirs(scratch + "/fuse-upper", 0700));
    SUB_TRY(sys::make_dirs(scratch + "/fuse-work", 0700));
    return run_fuse_overlayfs(question.fuse_program, {.lower = scratch + "/lower",
                                                      .upper = scratch + "/fuse-upper",
                                                      .work = scratch + "/fuse-work",
                                                      .mount_point = scratch + "/merged"});
}

}  // namespace

std::string encode(const ProbeQuestion& question) {
    plan::WireWriter out;
    out.put(kQuestionMagic);
    out.put(question.scratch);
    out.put(question.fuse_program);
    out.put(question.user_xattrs);
    out.put(question.own_network);
    out.put(question.veth);
    return out.take();
}

bool is_probe_question(std::string_view bytes) {
    return plan::WireReader(bytes).get<std::uint32_t>() == kQuestionMagic;
}

Result<ProbeQuestion> decode_probe_question(std::string_view bytes) {
    plan::WireReader in(bytes);
    if (in.get<std::uint32_t>() != kQuestionMagic) return fail({Errc::invalid, "not a probe question"});
    ProbeQuestion question;
    question.scratch = in.get_string();
    question.fuse_program = in.get_string();
    question.user_xattrs = in.get<bool>();
    question.own_network = in.get<bool>();
    question.veth = in.get<bool>();
    SUB_TRY(in.finish("probe question"));
    return question;
}

std::string encode(const ProbeAnswer& answer) {
    plan::WireWriter out;
    for (const std::string& field : {answer.proc, answer.network, answer.nftables, answer.ipv6, answer.veth,
                                     answer.overlay, answer.fuse})
        out.put(field);
    return out.take();
}

Result<ProbeAnswer> decode_probe_answer(std::string_view bytes) {
    plan::WireReader in(bytes);
    ProbeAnswer answer;
    for (std::string* field : {&answer.proc, &answer.network, &answer.nftables, &answer.ipv6, &answer.veth,
                               &answer.overlay, &answer.fuse})
        *field = in.get_string();
    SUB_TRY(in.finish("probe answer"));
    return answer;
}

ProbeAnswer try_everything(const ProbeQuestion& question) {
    ProbeAnswer answer;
    // Private first, and without it nothing else: no mount of ours may reach the host.
    if (const auto isolated = sys::make_all_private(); !isolated) {
        answer.proc = answer.network = answer.nftables = answer.overlay = answer.fuse =
            isolated.error().message();
        return answer;
    }
    answer.overlay = outcome(try_overlay(question));
    answer.proc = outcome(try_proc(question.scratch));
    if (question.own_network) {
        answer.network = outcome(sys::raise_loopback());
        sys::NetlinkBatch route = uplink_route(/*ipv6=*/true);
        answer.ipv6 = outcome(sys::netlink_transact_once(NETLINK_ROUTE, route));
        answer.nftables = outcome(try_nftables(answer.ipv6.empty()));
        if (question.veth) answer.veth = outcome(try_veth());
    }
    if (!question.fuse_program.empty()) answer.fuse = outcome(try_fuse(question));
    return answer;
}

}  // namespace substrate::world
