// The binary form of a WorldPlan.
#include "plan/wire.hpp"
#include "plan/world_plan.hpp"

namespace substrate::plan {
namespace {

constexpr std::uint32_t kMagic = 0x53574c50;  // "SWLP"
constexpr std::uint32_t kVersion = 6;

enum class OpTag : std::uint8_t {
    bind,
    tmpfs,
    proc,
    devpts,
    mask,
    read_only,
    symlink,
    directory,
    text,
    socket
};

void put_op(WireWriter& out, const MountOp& op) {
    out.put(static_cast<OpTag>(op.action.index()));
    out.put(op.target.str());
    if (const auto* bind = std::get_if<Bind>(&op.action)) {
        out.put(bind->source.str());
        out.put(bind->read_only);
        out.put(bind->optional);
        out.put(bind->device);
    } else if (const auto* tmpfs = std::get_if<Tmpfs>(&op.action)) {
        out.put(tmpfs->mode);
        out.put(tmpfs->size_bytes);
        out.put(tmpfs->files);
        out.put(tmpfs->read_only);
    } else if (const auto* link = std::get_if<Symlink>(&op.action)) {
        out.put(link->to);
    } else if (const auto* directory = std::get_if<Directory>(&op.action)) {
        out.put(directory->mode);
    } else if (const auto* text = std::get_if<Text>(&op.action)) {
        out.put(text->content);
    }
}

MountOp get_op(WireReader& in) {
    const auto tag = in.get_enum(OpTag::socket);
    MountOp op{WorldPath(in.get_string()), Proc{}};
    switch (tag) {
        case OpTag::bind: {
            Bind bind{.source = HostPath(in.get_string())};
            bind.read_only = in.get<bool>();
            bind.optional = in.get<bool>();
            bind.device = in.get<bool>();
            op.action = std::move(bind);
            break;
        }
        case OpTag::tmpfs: {
            Tmpfs tmpfs{};
            tmpfs.mode = in.get<std::uint32_t>();
            tmpfs.size_bytes = in.get<std::uint64_t>();
            tmpfs.files = in.get<std::uint64_t>();
            tmpfs.read_only = in.get<bool>();
            op.action = tmpfs;
            break;
        }
        case OpTag::proc: op.action = Proc{}; break;
        case OpTag::devpts: op.action = Devpts{}; break;
        case OpTag::mask: op.action = Mask{}; break;
        case OpTag::socket: op.action = HostSocket{}; break;
        case OpTag::read_only: op.action = ReadOnly{}; break;
        case OpTag::symlink: op.action = Symlink{in.get_string()}; break;
        case OpTag::directory: op.action = Directory{in.get<std::uint32_t>()}; break;
        case OpTag::text: op.action = Text{in.get_string()}; break;
    }
    return op;
}

IpNetwork get_network(WireReader& in) {
    const auto network = IpNetwork::parse(in.get_string());
    if (!network) in.refuse();
    return network.value_or(IpNetwork{});
}

void put_extent(WireWriter& out, const IdExtent& extent) {
    out.put(extent.first);
    out.put(extent.count);
}

IdExtent get_extent(WireReader& in) {
    IdExtent extent;
    extent.first = in.get<std::uint32_t>();
    extent.count = in.get<std::uint32_t>();
    return extent;
}

void put_landlock(WireWriter& out, const LandlockPlan& landlock) {
    const auto put_path = [&](const WorldPath& path) { out.put(path.str()); };
    out.put(static_cast<std::int32_t>(landlock.abi));
    out.put_list(landlock.writable, put_path);
    out.put(landlock.restricts_reading);
    out.put_list(landlock.readable, put_path);
    out.put(landlock.tcp_ports.has_value());
    out.put_list(landlock.tcp_ports.value_or(std::vector<std::uint16_t>{}),
                 [&](std::uint16_t port) { out.put(port); });
    out.put(landlock.scopes_signals);
}

LandlockPlan get_landlock(WireReader& in) {
    const auto get_path = [&] { return WorldPath(in.get_string()); };
    LandlockPlan landlock;
    landlock.abi = in.get<std::int32_t>();
    landlock.writable = in.get_list<WorldPath>(get_path);
    landlock.restricts_reading = in.get<bool>();
    landlock.readable = in.get_list<WorldPath>(get_path);
    const bool holds_ports = in.get<bool>();
    auto ports = in.get_list<std::uint16_t>([&] { return in.get<std::uint16_t>(); });
    if (holds_ports) landlock.tcp_ports = std::move(ports);
    else if (!ports.empty()) in.refuse();
    landlock.scopes_signals = in.get<bool>();
    return landlock;
}

void put_rules(WireWriter& out, const std::vector<FsRule>& rules) {
    out.put_list(rules, [&](const FsRule& rule) {
        out.put_strings(rule.below);
        out.put_strings(rule.patterns);
    });
}

std::vector<FsRule> get_rules(WireReader& in) {
    return in.get_list<FsRule>([&] {
        FsRule rule;
        rule.below = in.get_strings();
        rule.patterns = in.get_strings();
        return rule;
    });
}

void put_limits(WireWriter& out, const Limits& limits) {
    out.put(limits.cpu_millis);
    out.put(limits.memory_bytes);
    out.put(limits.swap_bytes);
    out.put(limits.pids);
    out.put(limits.out_of_memory_ends_all);
    out.put(limits.memory_is_default);
    out.put(limits.pids_is_default);
    out.put(limits.pids_by_user);
    for (const std::uint64_t most :
         {limits.io.read_bps, limits.io.write_bps, limits.io.read_iops, limits.io.write_iops})
        out.put(most);
}

Limits get_limits(WireReader& in) {
    Limits limits;
    limits.cpu_millis = in.get<std::uint32_t>();
    limits.memory_bytes = in.get<std::uint64_t>();
    limits.swap_bytes = in.get<std::uint64_t>();
    limits.pids = in.get<std::uint64_t>();
    limits.out_of_memory_ends_all = in.get<bool>();
    limits.memory_is_default = in.get<bool>();
    limits.pids_is_default = in.get<bool>();
    limits.pids_by_user = in.get<bool>();
    for (std::uint64_t* most :
         {&limits.io.read_bps, &limits.io.write_bps, &limits.io.read_iops, &limits.io.write_iops})
        *most = in.get<std::uint64_t>();
    return limits;
}

}  // namespace

std::string encode_plan(const WorldPlan& plan) {
    WireWriter out;
    out.put(kMagic);
    out.put(kVersion);
    out.put(plan.world_id);
    out.put(plan.hostname);
    out.put(plan.user_namespace);
    out.put_list(plan.uid_map, [&](const IdExtent& extent) { put_extent(out, extent); });
    out.put_list(plan.gid_map, [&](const IdExtent& extent) { put_extent(out, extent); });
    out.put(plan.network);
    out.put(plan.uplink.table);
    out.put_list(plan.uplink.networks, [&](const IpNetwork& network) { out.put(network.text()); });
    out.put(plan.uplink.ipv6);
    out.put(plan.network_name);
    out.put(plan.seccomp);
    out.put(plan.user_namespaces_inside);
    out.put_list(plan.mounts, [&](const MountOp& op) { put_op(out, op); });
    put_landlock(out, plan.landlock);
    out.put_strings(plan.guard.patterns);
    out.put_list(plan.guard.paths, [&](const WorldPath& path) { out.put(path.str()); });
    put_rules(out, plan.guard.write_rules);
    put_rules(out, plan.guard.read_rules);
    put_limits(out, plan.limits);
    out.put(plan.door.str());
    out.put(plan.capture.strategy);
    out.put(plan.capture.project.str());
    out.put(plan.capture.project_device);
    out.put(plan.capture.project_inode);
    out.put(plan.capture.store.str());
    out.put(plan.capture.user_xattrs);
    out.put(plan.capture.fuse_program);
    out.put_list(plan.capture.masks, [&](const WorldPath& path) { out.put(path.str()); });
    out.put(plan.capture.read_only);
    out.put_list(plan.capture.writable, [&](const std::string& part) { out.put(part); });
    out.put(plan.capture.alias.str());
    out.put(plan.capture_record.primary);
    out.put(plan.capture_record.final);
    out.put(plan.capture_record.fallback_reason);
    out.put_list(plan.degradations, [&](const Degradation& degradation) {
        out.put(degradation.component);
        out.put(degradation.reason);
        out.put(degradation.fix);
    });
    return out.take();
}

Result<WorldPlan> decode_plan(std::string_view bytes) {
    WireReader in(bytes);
    if (in.get<std::uint32_t>() != kMagic) return fail({Errc::invalid, "not a world plan"});
    if (const auto version = in.get<std::uint32_t>(); version != kVersion)
        return fail({Errc::invalid, "world plan of version " + std::to_string(version)});
    WorldPlan plan;
    plan.world_id = in.get_string();
    plan.hostname = in.get_string();
    plan.user_namespace = in.get<bool>();
    plan.uid_map = in.get_list<IdExtent>([&] { return get_extent(in); });
    plan.gid_map = in.get_list<IdExtent>([&] { return get_extent(in); });
    plan.network = in.get_enum(NetworkMode::host);
    plan.uplink.table = in.get_string();
    plan.uplink.networks = in.get_list<IpNetwork>([&] { return get_network(in); });
    plan.uplink.ipv6 = in.get<bool>();
    plan.network_name = in.get_string();
    plan.seccomp = in.get_enum(SeccompMode::off);
    plan.user_namespaces_inside = in.get<bool>();
    plan.mounts = in.get_list<MountOp>([&] { return get_op(in); });
    plan.landlock = get_landlock(in);
    plan.guard.patterns = in.get_strings();
    plan.guard.paths = in.get_list<WorldPath>([&] { return WorldPath(in.get_string()); });
    plan.guard.write_rules = get_rules(in);
    plan.guard.read_rules = get_rules(in);
    plan.limits = get_limits(in);
    plan.door = WorldPath(in.get_string());
    plan.capture.strategy = in.get_enum(CaptureStrategy::direct);
    plan.capture.project = HostPath(in.get_string());
    plan.capture.project_device = in.get<std::uint64_t>();
    plan.capture.project_inode = in.get<std::uint64_t>();
    plan.capture.store = HostPath(in.get_string());
    plan.capture.user_xattrs = in.get<bool>();
    plan.capture.fuse_program = in.get_string();
    plan.capture.masks = in.get_list<WorldPath>([&] { return WorldPath(in.get_string()); });
    plan.capture.read_only = in.get<bool>();
    plan.capture.writable = in.get_list<std::string>([&] { return in.get_string(); });
    plan.capture.alias = WorldPath(in.get_string());
    plan.capture_record.primary = in.get_enum(CaptureStrategy::direct);
    plan.capture_record.final = in.get_enum(CaptureStrategy::direct);
    plan.capture_record.fallback_reason = in.get_string();
    plan.degradations = in.get_list<Degradation>([&] {
        Degradation degradation;
        degradation.component = in.get_string();
        degradation.reason = in.get_string();
        degradation.fix = in.get_string();
        return degradation;
    });
    SUB_TRY(in.finish("world plan"));
    return plan;
}

}  // namespace substrate::plan
