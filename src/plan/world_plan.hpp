#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip_address.hpp"
#include "model/exec.hpp"
#include "model/fs_access.hpp"
#include "model/span.hpp"
#include "plan/host_facts.hpp"
#include "plan/limits.hpp"
#include "plan/mount_plan.hpp"

namespace substrate::plan {

// loopback: nothing but itself. gateway: loopback, and what the gateway lets through. veth: loopback, and
// a pair of virtual devices whose other end is the host's. host: the host's own.
enum class NetworkMode : std::uint8_t { loopback, gateway, veth, host };
const char* to_string(NetworkMode mode);

// A Unix socket of the host that a policy names.
struct NamedSocket {
    std::string path;
    std::string problem;         // why it is not shown, a clause; empty: it is there
    std::uint64_t identity = 0;  // of what is there now; changes when it is made anew
    bool operator==(const NamedSocket&) const = default;
};

// What the caller wants of a world.
struct WorldSpec {
    std::string world_id;
    HostPath project;                  // canonical, an existing directory
    std::uint64_t project_device = 0;  // its identity when it was resolved
    std::uint64_t project_inode = 0;
    HostPath store;                // capture store of the project
    bool store_in_memory = false;  // it lies on a tmpfs: no overlay on that
    CaptureStrategy capture = CaptureStrategy::overlay;
    bool capture_is_required = false;  // asked for by name: no falling back
    NetworkMode network = NetworkMode::loopback;
    std::vector<IpNetwork> networks;  // gateway: those of which every address may be tried
    std::string network_name;  // of the net namespace among the host's; empty: none. Only where facts.veth
    std::optional<std::vector<std::uint16_t>> tcp_ports;  // host: the only ones to connect to
    SeccompMode seccomp = SeccompMode::enforce;
    FsAccess fs;
    std::vector<std::string> sockets;        // of the host, by their real paths
    std::vector<NamedSocket> named_sockets;  // those to be shown
    std::string sockets_unknown;             // why they could not be listed
    Limits limits;
    bool single_use = false;  // for one command: nothing of it need be reached by a later one
    bool operator==(const WorldSpec&) const = default;
};

// What Landlock forbids beside the mounts; the rule for the project itself comes with each
// capture. Derived from the same operations.
struct LandlockPlan {
    int abi = 0;                      // whose rights are used; 0: not in use
    std::vector<WorldPath> writable;  // these and all below
    bool restricts_reading = false;   // only `readable` and `writable`; else everything may be read
    std::vector<WorldPath> readable;
    // The only ports to connect to by TCP. Of the host's network it is all that can be held; in a
    // network of its own a world's loopback needs any port.
    std::optional<std::vector<std::uint16_t>> tcp_ports;
    bool scopes_signals = false;  // no signals to those who run beside: one command's world
    bool operator==(const LandlockPlan&) const = default;
};

// How the project appears at its own path.
struct CapturePlan {
    CaptureStrategy strategy = CaptureStrategy::overlay;
    HostPath project;
    std::uint64_t project_device = 0;  // world-init refuses another directory at the path
    std::uint64_t project_inode = 0;
    HostPath store;
    bool user_xattrs = true;       // overlay: user.overlay.* instead of trusted.overlay.*
    std::string fuse_program;      // path of fuse-overlayfs; fuse strategy only
    std::vector<WorldPath> masks;  // below the project: hidden anew on each capture mount
    bool read_only = false;
    std::vector<std::string> writable;  // with read_only: below the project, relative; made where missing
    WorldPath alias;                    // where the project is shown as well; empty: nowhere
    bool operator==(const CapturePlan&) const = default;
};

// What commands may not touch by any name, whether it exists or not. It costs each call that names a
// path, so a command is guarded only where there are patterns or rules, or one of `paths` is missing when it
// starts.
struct GuardPlan {
    std::vector<std::string> patterns;  // of base/path_pattern.hpp
    std::vector<WorldPath> paths;       // in the project: masked where they exist
    std::vector<FsRule> write_rules;    // each narrows what mounts and Landlock leave writable
    std::vector<FsRule> read_rules;     // each narrows what they show
    bool operator==(const GuardPlan&) const = default;
};

// The way out of a world whose network is `gateway` or `veth`.
struct UplinkPlan {
    std::string table;                // of nftables: "substrate_<short id>"; empty: none is needed
    std::vector<IpNetwork> networks;  // gateway: redirected to it, beside its own addresses
    bool ipv6 = false;                // of both kinds of addresses; else of version 4 only
    bool operator==(const UplinkPlan&) const = default;
};

// Addresses of the gateway in every world: its TCP socket, its name server, and the network from which it
// gives each name an address of its own (RFC 2544: nobody routes it).
inline constexpr const char* kGatewayAddress = "127.0.0.54";
inline constexpr std::uint16_t kGatewayPort = 1;
inline constexpr const char* kNameServerAddress = "127.0.0.53";
inline constexpr std::uint16_t kNameServerPort = 53;
inline constexpr const char* kNamedNetwork = "198.18.0.0/15";
// The same for version 6, in networks of our own (RFC 4193).
inline constexpr const char* kGatewayAddress6 = "fd73:7562:7374:1::54";
inline constexpr const char* kNamedNetwork6 = "fd73:7562:7374:2::/111";

// Everything that world-init does, as data.
struct WorldPlan {
    std::string world_id;
    std::string hostname = "substrate";
    bool user_namespace = true;
    std::vector<IdExtent> uid_map;  // identity
    std::vector<IdExtent> gid_map;
    NetworkMode network = NetworkMode::loopback;
    UplinkPlan uplink;
    std::string network_name;  // as in WorldSpec
    SeccompMode seccomp = SeccompMode::enforce;
    // What else holds commands back from making user namespaces: a limit of the world's own.
    bool user_namespaces_inside = true;
    std::vector<MountOp> mounts;  // normalised
    LandlockPlan landlock;
    GuardPlan guard;
    Limits limits;   // held by the world's cgroup, which is its launcher's to make
    WorldPath door;  // the socket by which commands ask to be judged; empty: there is none
    CapturePlan capture;
    CaptureRecord capture_record;
    std::vector<Degradation> degradations;
    bool operator==(const WorldPlan&) const = default;
};

// The newest Landlock ABI whose rights world-init knows.
inline constexpr int kLandlockKnownAbi = 7;

// Where a world's own mounts are staged while it is set up; empty afterwards.
inline constexpr const char* kStagingPath = "/.substrate";

// Where a world has its door: in its root, which is read-only for every command, by its mount and
// by Landlock. Whoever finds a socket here is in a world.
inline constexpr const char* kDoorPath = "/.substrate.sock";

// Pure. Errors: Errc::unsupported when this machine cannot give a world at all
// (no user namespaces for an ordinary user, a kernel before 5.12, …), with the
// fix; Errc::safety for a project that must not be captured ("/", /proc, …).
Result<WorldPlan> plan_world(const WorldSpec& spec, const HostFacts& facts);

// Those of the host's `sockets` that a world with these mounts shows: commands could connect to them,
// whether the mount is read-only or not. In the project they are the project's.
std::vector<std::string> shown_sockets(const std::vector<MountOp>& mounts, const CapturePlan& capture,
                                       const std::vector<std::string>& sockets);

// The sentence of a degradation that says why a named one is not shown.
std::string socket_notice(const std::string& path, const std::string& reason);

// Those that policies name and the world shows.
std::vector<std::string> named_sockets(const WorldPlan& plan);

// The part of plan_world that asks only what the machine can do: before anything is started for a world.
Result<> check_machine(const HostFacts& facts);
// The part that asks only where the project is: before anything is made for it.
Result<> check_project(const std::string& project, const HostFacts& facts);

// The whole plan as text: --explain and the golden tests.
std::string to_text(const WorldPlan& plan);

// The binary form that travels to world-init in a sealed memfd. decode_plan
// accepts only what encode_plan of the same version writes.
std::string encode_plan(const WorldPlan& plan);
Result<WorldPlan> decode_plan(std::string_view bytes);

}  // namespace substrate::plan
