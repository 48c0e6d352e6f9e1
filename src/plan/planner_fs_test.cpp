// What `world_fs` and `fs` of a policy become: mounts, and Landlock rules beside them.
#include <gtest/gtest.h>

#include <algorithm>

#include "plan/plan_test_support.hpp"

namespace substrate::plan {
namespace {

using namespace test_support;

constexpr const char* kProject = "/home/ada/app";

WorldPlan plan_of(const FsAccess& fs, const HostFacts& facts = user_facts()) {
    WorldSpec spec = spec_for(kProject);
    spec.fs = fs;
    auto plan = plan_world(spec, facts);
    EXPECT_TRUE(plan) << plan.error().describe();
    return plan ? *plan : WorldPlan{};
}

const Bind* bind_at(const WorldPlan& plan, const std::string& path) {
    for (const MountOp& op : plan.mounts)
        if (op.target.str() == path) return std::get_if<Bind>(&op.action);
    return nullptr;
}

bool holds(const std::vector<WorldPath>& list, const std::string& path) {
    return std::ranges::find(list, WorldPath(path)) != list.end();
}

TEST(PlannerFs, LandlockAllowsWhatTheMountsAllow) {
    const WorldPlan plan = plan_of({});
    EXPECT_EQ(plan.landlock.abi, 2);
    EXPECT_FALSE(plan.landlock.restricts_reading);
    for (const char* own : {"/dev", "/run", "/tmp", "/var/tmp", "/var/lib/substrate/world-deps"})
        EXPECT_TRUE(holds(plan.landlock.writable, own)) << own;
    for (const WorldPath& path : plan.landlock.writable)
        for (const char* never : {"/home", "/usr", "/etc", "/var", "/proc", "/"})
            EXPECT_NE(path.str(), never);
}

TEST(PlannerFs, WithoutLandlockThePlanSaysSo) {
    for (const int abi : {0, 1}) {
        HostFacts facts = user_facts();
        facts.landlock_abi = abi;
        const WorldPlan plan = plan_of({}, facts);
        EXPECT_EQ(plan.landlock, LandlockPlan{});
        ASSERT_EQ(plan.degradations.size(), 1U);
        EXPECT_EQ(plan.degradations[0].component, "landlock");
    }
    HostFacts facts = user_facts();
    facts.landlock_abi = 99;
    EXPECT_EQ(plan_of({}, facts).landlock.abi, kLandlockKnownAbi);
}

TEST(PlannerFs, DirectoriesOutsideTheProjectAreOpenedByName) {
    const WorldPlan plan = plan_of({.writable = {"/home/ada/.cache", kProject, "/srv", "/tmp"}});
    EXPECT_FALSE(plan.capture.read_only);
    for (const char* path : {"/home/ada/.cache", "/srv"}) {
        ASSERT_NE(bind_at(plan, path), nullptr) << path;
        EXPECT_FALSE(bind_at(plan, path)->read_only);
        EXPECT_TRUE(bind_at(plan, path)->optional);
        EXPECT_TRUE(holds(plan.landlock.writable, path));
    }
    EXPECT_EQ(bind_at(plan, "/tmp"), nullptr) << "the world's own";
    EXPECT_TRUE(plan.degradations.empty());
}

TEST(PlannerFs, NothingWiderThanTheProjectIsOpened) {
    for (const char* wide : {"/", "/home/ada", "/home", "/usr", "/etc/cron.d", "/var"}) {
        const WorldPlan plan = plan_of({.writable = {wide}});
        EXPECT_EQ(plan.degradations.size(), 1U) << wide;
        for (const MountOp& op : plan.mounts) {
            const auto* bind = std::get_if<Bind>(&op.action);
            if (bind == nullptr || bind->device || op.target.str().ends_with("/world-deps")) continue;
            EXPECT_TRUE(bind->read_only) << wide << ": " << op.target.str();
        }
    }
}

TEST(PlannerFs, AReadOnlyProjectMayHaveWritableParts) {
    const WorldPlan plan =
        plan_of({.project_writable = false, .writable = {std::string(kProject) + "/build", "/srv"}});
    EXPECT_TRUE(plan.capture.read_only);
    EXPECT_EQ(plan.capture.writable, std::vector<std::string>{"build"});
    EXPECT_FALSE(bind_at(plan, "/srv")->read_only);
}

TEST(PlannerFs, FullIsolationShowsTheSystemAndTheProject) {
    const WorldPlan plan = plan_of({.isolation = WorldFsIsolation::full,
                                    .project_writable = false,
                                    .writable = {std::string(kProject) + "/build", "/srv"},
                                    .readable = {"/home/ada/data", "/home/ada"}});
    for (const char* hidden : {"/home", "/root", "/srv", "/var"})
        EXPECT_EQ(bind_at(plan, hidden), nullptr) << hidden;
    for (const char* shown : {"/usr", "/etc", "/home/ada/data"}) {
        ASSERT_NE(bind_at(plan, shown), nullptr) << shown;
        EXPECT_TRUE(bind_at(plan, shown)->read_only);
        EXPECT_TRUE(holds(plan.landlock.readable, shown));
    }
    EXPECT_EQ(bind_at(plan, "/home/ada"), nullptr) << "it is around the project";
    EXPECT_EQ(plan.capture.alias.str(), "/project");
    EXPECT_EQ(plan.capture.writable, std::vector<std::string>{"build"});
    EXPECT_TRUE(plan.landlock.restricts_reading);
    ASSERT_EQ(plan.degradations.size(), 1U);
    EXPECT_TRUE(plan.degradations[0].reason.contains("/srv"));
}

TEST(PlannerFs, HiddenPathsAreMasked) {
    const WorldPlan plan =
        plan_of({.hidden = {std::string(kProject) + "/secrets", "/srv", "/home/ada/.netrc"}});
    EXPECT_TRUE(holds(plan.capture.masks, std::string(kProject) + "/secrets"));
    EXPECT_TRUE(std::ranges::find(plan.mounts, MountOp{WorldPath("/home/ada/.netrc"), Mask{}}) !=
                plan.mounts.end());
    EXPECT_EQ(bind_at(plan, "/srv"), nullptr);
    WorldSpec spec = spec_for(kProject);
    spec.fs.hidden = {"/home/ada"};
    EXPECT_FALSE(plan_world(spec, user_facts())) << "it would hide the project";
}

TEST(PlannerFs, WhatIsNotEnforcedIsSaid) {
    const WorldPlan plan = plan_of({.unenforced = {"fs.deny \"*.key\" is a pattern"}});
    ASSERT_EQ(plan.degradations.size(), 1U);
    EXPECT_EQ(plan.degradations[0].reason, "fs.deny \"*.key\" is a pattern");
}

TEST(PlannerFs, PatternsAreHeldByNameWhereTheKernelCan) {
    FsAccess fs{.hidden = {std::string(kProject) + "/secrets", "/srv"}, .denied = {"/home/ada/app/**/.env"}};
    HostFacts facts = user_facts();
    facts.path_guard.ok = true;
    const WorldPlan plan = plan_of(fs, facts);
    EXPECT_EQ(plan.guard.patterns, fs.denied);
    EXPECT_EQ(plan.guard.paths, std::vector{WorldPath(std::string(kProject) + "/secrets")});
    EXPECT_EQ(plan.degradations, std::vector<Degradation>{});
    EXPECT_TRUE(to_text(plan).contains("denied     /home/ada/app/**/.env\n")) << to_text(plan);
    EXPECT_EQ(decode_plan(encode_plan(plan)).value(), plan);

    facts.path_guard = {.ok = false, .reason = "an old kernel", .fix = "a new one"};
    const WorldPlan without = plan_of(fs, facts);
    EXPECT_EQ(without.guard, GuardPlan{});
    ASSERT_EQ(without.degradations.size(), 1U);
    EXPECT_EQ(without.degradations[0],
              (Degradation{"fs", "the patterns of fs.deny are not enforced: an old kernel", "a new one"}));
    WorldSpec spec = spec_for(kProject);
    spec.fs = fs;
    spec.fs.required = true;
    EXPECT_FALSE(plan_world(spec, facts)) << "the policy wants worlds that hold";
    EXPECT_EQ(plan_of({.hidden = {"/srv"}, .required = true}, facts).degradations,
              std::vector<Degradation>{});
}

TEST(PlannerFs, RulesAreHeldByNameOrOpenOnlyWhatTheyPermitWhole) {
    const std::string project = kProject;
    const FsAccess fs{.isolation = WorldFsIsolation::full,
                      .project_writable = false,
                      .writable = {project + "/build", project + "/src"},
                      .readable = {"/opt", "/opt/sdk", "/srv/data", "/usr/share", "/var"},
                      .write_rules = {{{project}, {project + "/build", project + "/src/**/*.c"}}},
                      .read_rules = {{{"/opt", "/usr/share", "/var"},
                                      {"/opt/*/include", "/opt/sdk", "/usr/share/*/x", "/var/*/y"}}}};
    HostFacts facts = user_facts();
    facts.path_guard.ok = true;
    const WorldPlan plan = plan_of(fs, facts);
    EXPECT_EQ(plan.guard.write_rules, fs.write_rules);
    EXPECT_EQ(plan.capture.writable, (std::vector<std::string>{"build", "src"}));
    ASSERT_EQ(plan.guard.read_rules.size(), 1U);
    EXPECT_EQ(plan.guard.read_rules[0].below, std::vector<std::string>{"/opt"})
        << "the system is there whole";
    EXPECT_NE(bind_at(plan, "/opt"), nullptr);
    EXPECT_EQ(bind_at(plan, "/var"), nullptr);
    ASSERT_EQ(plan.degradations.size(), 1U);
    EXPECT_TRUE(plan.degradations[0].reason.contains("below '/var'")) << plan.degradations[0].reason;
    EXPECT_TRUE(
        to_text(plan).contains("by name    writes below " + project + "\n           " + project + "/build\n"))
        << to_text(plan);
    EXPECT_EQ(decode_plan(encode_plan(plan)).value(), plan);

    facts.path_guard = {.ok = false, .reason = "an old kernel", .fix = "a new one"};
    const WorldPlan without = plan_of(fs, facts);
    EXPECT_EQ(without.guard, GuardPlan{});
    EXPECT_EQ(without.capture.writable, std::vector<std::string>{"build"});
    EXPECT_EQ(bind_at(without, "/opt"), nullptr);
    EXPECT_NE(bind_at(without, "/opt/sdk"), nullptr);
    EXPECT_NE(bind_at(without, "/srv/data"), nullptr);
    EXPECT_TRUE(
        std::ranges::find(without.degradations,
                          Degradation{"fs", "patterns of fs.write and fs.read open nothing: an old kernel",
                                      "a new one"}) != without.degradations.end());
    const FsAccess all{.project_writable = true,
                       .writable = {project},
                       .write_rules = {{{project}, {project + "/**/*.md"}}}};
    EXPECT_TRUE(plan_of(all, facts).capture.read_only) << "nobody would hold the rest back";
    WorldSpec spec = spec_for(kProject);
    spec.fs = all;
    spec.fs.required = true;
    EXPECT_FALSE(plan_world(spec, facts)) << "the policy wants worlds that hold";
}

TEST(PlannerFs, OfTheHostsNetworkPortsAreHeld) {
    WorldSpec spec = spec_for(kProject);
    spec.network = NetworkMode::host;
    spec.tcp_ports = {80, 443};
    HostFacts facts = user_facts();
    facts.landlock_abi = 4;
    auto plan = plan_world(spec, facts);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->landlock.tcp_ports, spec.tcp_ports);
    ASSERT_EQ(plan->degradations.size(), 1U);
    EXPECT_TRUE(plan->degradations[0].reason.contains("by TCP port only")) << plan->degradations[0].reason;
    EXPECT_TRUE(to_text(*plan).contains("; TCP to ports 80 443\n")) << to_text(*plan);
    EXPECT_EQ(decode_plan(encode_plan(*plan)).value(), *plan);
    spec.tcp_ports.emplace().clear();
    EXPECT_EQ(decode_plan(encode_plan(*plan_world(spec, facts))).value().landlock.tcp_ports, spec.tcp_ports);
    facts.landlock_abi = 3;
    plan = plan_world(spec, facts);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->landlock.tcp_ports, std::nullopt);
    EXPECT_TRUE(plan->degradations[0].reason.contains("nothing of net.allowed is held"));
}

TEST(PlannerFs, TheWireFormHasAllOfIt) {
    const WorldPlan plan = plan_of({.isolation = WorldFsIsolation::full,
                                    .project_writable = false,
                                    .writable = {std::string(kProject) + "/build"},
                                    .readable = {"/srv"},
                                    .hidden = {"/srv/x"}});
    const auto decoded = decode_plan(encode_plan(plan));
    ASSERT_TRUE(decoded) << decoded.error().message();
    EXPECT_EQ(*decoded, plan);
}

TEST(PlannerFs, SocketsOfTheHostAreHiddenWhereTheyWouldShow) {
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.sockets = {"/home/ada/.docker/run/docker.sock",
                    "/home/ada/.ssh/control",
                    "/home/ada/code/app/dev.sock",
                    "/run/docker.sock",
                    "/tmp/theirs",
                    "/tmp/shown/agent.sock",
                    "/var/lib/mysql/mysql.sock"};
    spec.fs.writable = {"/home/ada/code/app", "/tmp/shown"};
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan) << plan.error().describe();
    const auto hidden = [&](const std::string& path) {
        return std::ranges::any_of(plan->mounts, [&](const MountOp& op) {
            return op.target.str() == path && std::holds_alternative<Mask>(op.action);
        });
    };
    for (const char* shown :
         {"/home/ada/.docker/run/docker.sock", "/var/lib/mysql/mysql.sock", "/tmp/shown/agent.sock"})
        EXPECT_TRUE(hidden(shown)) << shown;
    for (const char* not_shown :
         {"/home/ada/.ssh/control", "/home/ada/code/app/dev.sock", "/run/docker.sock", "/tmp/theirs"})
        EXPECT_FALSE(hidden(not_shown)) << not_shown;
    EXPECT_TRUE(shown_sockets(plan->mounts, plan->capture, spec.sockets).empty());
    EXPECT_EQ(shown_sockets(plan->mounts, plan->capture, {"/srv/new.sock", "/run/new.sock"}),
              std::vector<std::string>{"/srv/new.sock"});
    EXPECT_TRUE(plan->degradations.empty());
}

// What lies below a directory that commands may write could be a link that they have put there.
TEST(PlannerFs, SocketsThatAreNamedAreShownUnlessSomethingHidesThem) {
    WorldSpec spec = spec_for(kProject);
    spec.sockets = {"/run/other.sock", "/srv/named.sock", "/srv/other.sock"};
    spec.fs.hidden = {"/srv/hidden"};
    spec.fs.denied = {"/srv/*.denied"};
    for (const char* path :
         {"/run/named.sock", "/srv/named.sock", "/home/ada/app/own.sock", "/srv/hidden/a.sock",
          "/srv/a.denied", "/home/ada/.gnupg/S.gpg-agent", "/proc/1/a", kDoorPath})
        spec.named_sockets.push_back({.path = path, .problem = {}});
    spec.named_sockets.push_back({.path = "/run/gone.sock", .problem = "it does not exist"});
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan) << plan.error().describe();
    EXPECT_EQ(named_sockets(*plan), (std::vector<std::string>{"/run/named.sock", "/srv/named.sock"}));
    std::vector<std::string> said;
    for (const Degradation& each : plan->degradations)
        if (each.component == "sockets") said.push_back(each.reason);
    EXPECT_EQ(said.size(), 7U);
    EXPECT_EQ(said.back(), socket_notice("/run/gone.sock", "it does not exist"));
    // Those beside them are hidden as ever, now and later.
    EXPECT_EQ(shown_sockets(plan->mounts, plan->capture, spec.sockets), std::vector<std::string>{});
    EXPECT_TRUE(std::ranges::any_of(plan->mounts, [](const MountOp& op) {
        return op.target.str() == "/srv/other.sock" && std::holds_alternative<Mask>(op.action);
    }));
    EXPECT_EQ(decode_plan(encode_plan(*plan))->mounts, plan->mounts);
}

TEST(PlannerFs, AWritableDirectoryBelowAnotherIsNoMountOfItsOwn) {
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.fs.writable = {"/home/ada/.cache", "/home/ada/.cache/a/b", "/home/ada/.cachet"};
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan);
    const auto mounted = [&](const char* path) {
        return std::ranges::any_of(plan->mounts, [&](const MountOp& op) { return op.target.str() == path; });
    };
    EXPECT_TRUE(mounted("/home/ada/.cache") && mounted("/home/ada/.cachet"));
    EXPECT_FALSE(mounted("/home/ada/.cache/a/b"));
}

TEST(PlannerFs, FullIsolationShowsFewSockets) {
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.fs.isolation = WorldFsIsolation::full;
    spec.sockets = {"/home/ada/x.sock", "/etc/tool/y.sock"};
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan);
    EXPECT_EQ(shown_sockets(plan->mounts, plan->capture, {"/home/ada/x.sock"}).size(), 0u);
    EXPECT_TRUE(std::ranges::any_of(plan->mounts, [](const MountOp& op) {
        return op.target.str() == "/etc/tool/y.sock" && std::holds_alternative<Mask>(op.action);
    }));
}

TEST(PlannerFs, SocketsThatCannotBeListedAreADegradation) {
    WorldSpec spec = spec_for("/home/ada/code/app");
    spec.sockets_unknown = "no /proc/net";
    const auto plan = plan_world(spec, user_facts());
    ASSERT_TRUE(plan);
    ASSERT_EQ(plan->degradations.size(), 1u);
    EXPECT_EQ(plan->degradations[0].component, "sockets");
}

}  // namespace
}  // namespace substrate::plan
