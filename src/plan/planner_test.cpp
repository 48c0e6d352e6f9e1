// What is planned for which machine. Whole plans are compared with the texts in
// tests/golden/plan; SUBSTRATE_ACCEPT_GOLDEN=1 writes them anew.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "plan/plan_test_support.hpp"

namespace substrate::plan {
namespace {

using namespace test_support;

void expect_golden(const std::string& name, const std::string& text) {
    const std::string path = std::string(SUBSTRATE_TEST_GOLDEN_DIR) + "/plan/" + name + ".txt";
    const char* accept = std::getenv("SUBSTRATE_ACCEPT_GOLDEN");
    if (accept != nullptr && std::string_view(accept) == "1") {
        std::ofstream(path, std::ios::binary) << text;
        return;
    }
    std::ifstream in(path, std::ios::binary);
    if (!in) FAIL() << "cannot read " << path << "; SUBSTRATE_ACCEPT_GOLDEN=1 writes it";
    std::ostringstream expected;
    expected << in.rdbuf();
    EXPECT_EQ(text, expected.str()) << "SUBSTRATE_ACCEPT_GOLDEN=1 accepts the new text";
}

void expect_golden_plan(const std::string& name, const WorldSpec& spec, const HostFacts& facts) {
    const auto plan = plan_world(spec, facts);
    ASSERT_TRUE(plan) << plan.error().describe();
    expect_golden(name, to_text(*plan));
}

bool has_mask(const WorldPlan& plan, const std::string& path) {
    return std::ranges::find(plan.mounts, MountOp{WorldPath(path), Mask{}}) != plan.mounts.end();
}
bool has_project_mask(const WorldPlan& plan, const std::string& path) {
    return std::ranges::find(plan.capture.masks, WorldPath(path)) != plan.capture.masks.end();
}

TEST(Planner, AnOrdinaryUser) { expect_golden_plan("user", spec_for("/home/ada/code/app"), user_facts()); }

TEST(Planner, Root) { expect_golden_plan("root", spec_for("/srv/app"), root_facts()); }

TEST(Planner, RootWithoutUserNamespaces) {
    HostFacts facts = root_facts();
    facts.user_namespace = lacks("user.max_user_namespaces is 0", "sysctl user.max_user_namespaces=10000");
    expect_golden_plan("root_without_user_namespace", spec_for("/srv/app"), facts);
    const auto plan = plan_world(spec_for("/srv/app"), facts);
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->user_namespace);
    EXPECT_FALSE(plan->capture.user_xattrs) << "the initial namespace has trusted.overlay.*";
}

TEST(Planner, FallsBackToFuseWithTheReason) {
    HostFacts facts = user_facts();
    facts.overlay = lacks("mount: Operation not permitted", "a kernel of 5.11 or newer");
    expect_golden_plan("degraded_to_fuse", spec_for("/home/ada/code/app"), facts);
}

TEST(Planner, FallsBackToACopyWithBothReasons) {
    HostFacts facts = user_facts();
    facts.overlay = lacks("mount: Operation not permitted", "a kernel of 5.11 or newer");
    facts.fuse = lacks("/dev/fuse is missing", "modprobe fuse");
    expect_golden_plan("degraded_to_copy", spec_for("/home/ada/code/app"), facts);
}

TEST(Planner, FuseThatWasPreferredFallsToACopy) {
    HostFacts facts = user_facts();
    facts.fuse = lacks("/dev/fuse is missing", "modprobe fuse");
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.capture = CaptureStrategy::fuse;
    const auto plan = plan_world(spec, facts);
    ASSERT_TRUE(plan) << plan.error().describe();
    EXPECT_EQ(plan->capture_record.primary, CaptureStrategy::fuse);
    EXPECT_EQ(plan->capture.strategy, CaptureStrategy::copy_diff);
    ASSERT_EQ(plan->degradations.size(), 1u);
    EXPECT_EQ(plan->degradations[0], (Degradation{"capture", "fuse: /dev/fuse is missing", "modprobe fuse"}));
    EXPECT_TRUE(plan->capture.fuse_program.empty());
}

TEST(Planner, ACaptureThatWasAskedForByNameDoesNotFallBack) {
    HostFacts facts = user_facts();
    facts.overlay = lacks("no overlayfs", "modprobe overlay");
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.capture_is_required = true;
    const auto plan = plan_world(spec, facts);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code(), Errc::unsupported);
    EXPECT_EQ(plan.error().message(), "capture 'overlay' is not available: overlay: no overlayfs");
}

TEST(Planner, DirectAndCopyNeedNothingOfTheMachine) {
    HostFacts facts = user_facts();
    facts.overlay = facts.fuse = lacks("no", "none");
    for (const CaptureStrategy strategy : {CaptureStrategy::direct, CaptureStrategy::copy_diff}) {
        WorldSpec spec = spec_for("/home/ada/code/app");
        spec.capture = strategy;
        spec.capture_is_required = true;
        const auto plan = plan_world(spec, facts);
        ASSERT_TRUE(plan) << plan.error().describe();
        EXPECT_EQ(plan->capture.strategy, strategy);
        EXPECT_TRUE(plan->degradations.empty());
    }
}

TEST(Planner, HostNetworkAndALooseFilter) {
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.network = NetworkMode::host;
    spec.seccomp = SeccompMode::log;
    HostFacts facts = user_facts();
    facts.net_namespace = lacks("not needed here", "");
    expect_golden_plan("host_network", spec, facts);
}

TEST(Planner, AVethPairIsForRootAndTheGatewayInItsPlace) {
    WorldSpec spec = spec_for("/srv/app");
    spec.network = NetworkMode::veth;
    spec.networks = {*IpNetwork::parse("192.0.2.0/24")};
    spec.network_name = "substrate-x";
    const auto root = plan_world(spec, root_facts());
    ASSERT_TRUE(root) << root.error().describe();
    EXPECT_EQ(root->network, NetworkMode::veth);
    EXPECT_EQ(root->network_name, "substrate-x");
    EXPECT_TRUE(root->uplink.networks.empty()) << "every address is the sets' business";
    EXPECT_TRUE(root->degradations.empty());
    const auto user = plan_world(spec, user_facts());
    ASSERT_TRUE(user) << user.error().describe();
    EXPECT_EQ(user->network, NetworkMode::gateway);
    EXPECT_EQ(user->network_name, "");
    EXPECT_EQ(user->uplink.networks, spec.networks);
    ASSERT_EQ(user->degradations.size(), 1U);
    EXPECT_EQ(user->degradations[0].component, "network");
    EXPECT_NE(user->degradations[0].reason.find("CAP_NET_ADMIN"), std::string::npos);
}

TEST(Planner, ANetworkWithANameHasRulesThoughNothingLeadsOut) {
    WorldSpec spec = spec_for("/srv/app");
    EXPECT_EQ(plan_world(spec, root_facts())->uplink.table, "");
    spec.network_name = "substrate-x";
    const auto plan = plan_world(spec, root_facts());
    ASSERT_TRUE(plan) << plan.error().describe();
    EXPECT_EQ(plan->network, NetworkMode::loopback);
    EXPECT_EQ(plan->uplink.table, "substrate_00000001");
    EXPECT_FALSE(plan->uplink.ipv6);
}

TEST(Planner, AKernelWithoutIpv6) {
    WorldSpec spec = spec_for("/srv/app");
    spec.network = NetworkMode::gateway;
    EXPECT_TRUE(plan_world(spec, user_facts())->uplink.ipv6);
    HostFacts facts = user_facts();
    facts.ipv6 = lacks("it is off", "");
    const auto plan = plan_world(spec, facts);
    EXPECT_FALSE(plan->uplink.ipv6);
    EXPECT_NE(to_text(*plan).find("no IPv6"), std::string::npos);
}

TEST(Planner, TheHomeAsProjectHidesItsSecretsOnTheCapture) {
    expect_golden_plan("home_as_project", spec_for("/home/ada"), user_facts());
    const auto plan = plan_world(spec_for("/home/ada"), user_facts());
    ASSERT_TRUE(plan);
    for (const char* secret : {"/.ssh", "/.aws", "/.gnupg", "/.config/gcloud", "/.substrate"}) {
        EXPECT_TRUE(has_project_mask(*plan, std::string("/home/ada") + secret)) << secret;
        EXPECT_FALSE(has_mask(*plan, std::string("/home/ada") + secret))
            << "below the capture mount: " << secret;
    }
    EXPECT_TRUE(has_mask(*plan, "/etc/shadow"));
}

TEST(Planner, AProjectAboveTheHomeHidesTheSecretsToo) {
    const auto plan = plan_world(spec_for("/home"), user_facts());
    ASSERT_TRUE(plan) << plan.error().describe();
    EXPECT_TRUE(has_project_mask(*plan, "/home/ada/.ssh"));
    EXPECT_TRUE(has_project_mask(*plan, "/home/ada/.substrate"));
}

TEST(Planner, AProjectBesideASecretIsNotInIt) {
    for (const char* project :
         {"/home/ada/.sshd", "/home/ada/.config", "/home/ada/.substrate-work", "/usrlocal", "/etcetera",
          "/home/ada/.config/gcloud-tool", "/tmp/x", "/run/user/1000/x"})
        EXPECT_TRUE(plan_world(spec_for(project), user_facts())) << project;
}

// Every refusal, with its kind and its advice, as a person meets it.
TEST(Planner, Refusals) {
    std::ostringstream text;
    const auto note = [&](const std::string& what, const WorldSpec& spec, const HostFacts& facts) {
        const auto plan = plan_world(spec, facts);
        ASSERT_FALSE(plan) << what;
        EXPECT_FALSE(plan.error().advice().empty()) << what << " leaves the person without advice";
        text << what << "\n    " << to_string(plan.error().code()) << ": " << plan.error().describe() << "\n";
    };
    for (const char* project :
         {"/", "/proc", "/proc/1/root", "/sys/kernel", "/dev/shm/x", "/usr", "/usr/src/linux", "/etc",
          "/etc/x", "/boot", "/home/ada/.substrate", "/home/ada/.substrate/overlay/x", "/home/ada/.ssh",
          "/home/ada/.config/gcloud/x", "/var/lib/substrate/overlay/x"})
        note(std::string("project ") + project, spec_for(project), user_facts());
    const WorldSpec spec = spec_for("/home/ada/code/app");
    HostFacts old = user_facts();
    old.kernel_release = "5.10.0-28-amd64";
    old.kernel_major = 5;
    old.kernel_minor = 10;
    note("kernel 5.10", spec, old);
    HostFacts no_users = user_facts();
    no_users.user_namespace =
        lacks("kernel.unprivileged_userns_clone is 0", "sysctl kernel.unprivileged_userns_clone=1");
    note("no user namespaces as user", spec, no_users);
    HostFacts no_proc = user_facts();
    no_proc.proc_mount = lacks("/proc is partly covered", "run outside of the container");
    note("no fresh /proc", spec, no_proc);
    HostFacts no_net = user_facts();
    no_net.net_namespace = lacks("no loopback device", "load the loopback driver");
    note("no network namespace", spec, no_net);
    expect_golden("refusals", text.str());
}

TEST(Planner, WithoutNftablesNothingLeadsOut) {
    HostFacts facts = user_facts();
    facts.nftables = lacks("No such file or directory", "modprobe nf_tables");
    WorldSpec spec = spec_for("/home/ada/app");
    EXPECT_TRUE(plan_world(spec, facts));
    spec.network = NetworkMode::gateway;
    const auto refused = plan_world(spec, facts);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::unsupported);
    EXPECT_EQ(refused.error().advice(), "modprobe nf_tables");
}

// A person's directories may be the very places that worlds make anew.
TEST(Planner, AStateOrHomeWhereWorldsMountIsHidden) {
    for (const char* place : {"/tmp", "/run", "/run/lock", "/var/tmp", "/home", "/opt"}) {
        HostFacts facts = user_facts();
        facts.root_entries.push_back({.name = "opt", .directory = true});
        facts.substrate_home = place;
        const auto plan = plan_world(spec_for("/srv/app"), facts);
        ASSERT_TRUE(plan) << place << ": " << plan.error().describe();
        for (const MountOp& op : plan->mounts) {
            const bool shown = op.target.str() == place && std::holds_alternative<Bind>(op.action);
            EXPECT_FALSE(shown) << place << " shows the host's";
        }
        facts = user_facts();
        facts.home = facts.account_home = place;
        EXPECT_TRUE(plan_world(spec_for("/srv/app"), facts)) << place;
    }
}

// The state of an account whose home is "/" lies where worlds are staged.
TEST(Planner, NothingIsMountedWhereWorldsAreStaged) {
    HostFacts facts = user_facts();
    facts.root_entries.push_back({.name = ".substrate", .directory = true});
    facts.home = facts.account_home = "/";
    facts.substrate_home = "/.substrate";
    const auto plan = plan_world(spec_for("/srv/app"), facts);
    ASSERT_TRUE(plan) << plan.error().describe();
    for (const MountOp& op : plan->mounts) EXPECT_FALSE(op.target.str().starts_with("/.substrate"));
    EXPECT_EQ(plan_world(spec_for("/.substrate/x"), user_facts()).error().code(), Errc::safety);
}

TEST(Planner, OverlayIsNotMadeOnATmpfs) {
    WorldSpec spec = spec_for("/srv/app");
    spec.store_in_memory = true;
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan) << plan.error().describe();
    EXPECT_NE(plan->capture.strategy, CaptureStrategy::overlay);
    EXPECT_TRUE(
        plan->capture_record.fallback_reason.starts_with("overlay: captures can lie on a tmpfs only"));
    ASSERT_FALSE(plan->degradations.empty());
    EXPECT_EQ(plan->degradations[0].fix, "set SUBSTRATE_HOME to a directory on a disk");
    spec.capture_is_required = true;
    EXPECT_EQ(plan_world(spec, user_facts()).error().code(), Errc::unsupported);
    spec.capture = CaptureStrategy::direct;
    EXPECT_TRUE(plan_world(spec, user_facts()));
}

TEST(Planner, KernelVersionsAreComparedAsNumbers) {
    HostFacts facts = user_facts();
    for (const auto& [major, minor, enough] : {std::tuple{5, 11, false},
                                               {5, 12, true},
                                               {5, 9, false},
                                               {6, 0, true},
                                               {4, 19, false},
                                               {10, 0, true}}) {
        facts.kernel_major = major;
        facts.kernel_minor = minor;
        EXPECT_EQ(plan_world(spec_for("/home/ada/app"), facts).has_value(), enough) << major << "." << minor;
    }
}

TEST(Planner, CarriesTheIdentityOfTheProject) {
    const WorldSpec spec = spec_for("/home/ada/app");
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->capture.project_device, spec.project_device);
    EXPECT_EQ(plan->capture.project_inode, spec.project_inode);
    EXPECT_EQ(plan->capture.store, spec.store);
    EXPECT_EQ(plan->uid_map, user_facts().uid_extents);
    EXPECT_EQ(*plan, *plan_world(spec, user_facts())) << "equal questions, equal plans";
}

TEST(Planner, NothingIsWritableButWhatIsTheWorldsOwn) {
    const auto plan = plan_world(spec_for("/home/ada/app"), user_facts());
    ASSERT_TRUE(plan);
    for (const MountOp& op : plan->mounts) {
        const auto* bind = std::get_if<Bind>(&op.action);
        if (bind == nullptr || bind->read_only || op.target.str() == "/var/lib/substrate/world-deps")
            continue;
        EXPECT_TRUE(bind->device) << to_text(op);
        EXPECT_TRUE(op.target.str().starts_with("/dev/")) << to_text(op);
    }
}

TEST(Planner, HostileNamesCannotForgeLinesOfTheText) {
    HostFacts facts = user_facts();
    facts.root_entries.push_back({"srv\nmount      bind", true, {}});
    facts.root_entries.push_back({"link", false, "a\x1b[2Jb"});
    const auto plan = plan_world(spec_for("/home/ada/a\nworld      b"), facts);
    ASSERT_TRUE(plan) << plan.error().describe();
    const std::string text = to_text(*plan);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_NE(text.find("a\\nworld      b"), std::string::npos);
    std::istringstream lines(text);
    int worlds = 0;
    for (std::string line; std::getline(lines, line);) worlds += line.starts_with("world ") ? 1 : 0;
    EXPECT_EQ(worlds, 1);
    EXPECT_EQ(text.find("\nmount      bind\n"), std::string::npos);
}

}  // namespace
}  // namespace substrate::plan
