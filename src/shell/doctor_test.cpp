#include "shell/doctor.hpp"

#include <gtest/gtest.h>

namespace substrate::shell {
namespace {

plan::HostFacts good_facts(std::uint32_t uid = 1000) {
    plan::HostFacts facts;
    facts.uid = facts.gid = uid;
    facts.kernel_release = "6.1.0-test";
    facts.kernel_major = 6;
    facts.kernel_minor = 1;
    facts.landlock_abi = 2;
    facts.memory_bytes = 8ull << 30;
    for (plan::Capability* one :
         {&facts.user_namespace, &facts.net_namespace, &facts.proc_mount, &facts.overlay, &facts.fuse,
          &facts.path_guard, &facts.nftables, &facts.veth})
        one->ok = true;
    facts.fuse_binary = "/usr/bin/fuse-overlayfs";
    return facts;
}
MachineNotes good_notes() {
    MachineNotes notes;
    notes.distribution = "Debian 12";
    notes.cgroup_version = 2;
    notes.cgroup_detail = "v2";
    notes.gateway = "/usr/bin/substrate-gateway";
    notes.ip_forward = "1";
    notes.seccomp_actions = "kill_process errno log allow";
    notes.capture_roots = {{.path = "/home/ada/.substrate/overlay", .bytes_left = 1u << 30},
                           {.path = "/tmp/substrate-1000", .bytes_left = {}}};
    return notes;
}
plan::Capability lacks() { return {.ok = false, .reason = "because", .fix = "do this"}; }

const Finding& row(const std::vector<Finding>& findings, const std::string& what) {
    for (const Finding& finding : findings)
        if (finding.what == what) return finding;
    static const Finding none{Verdict::info, "no such row", {}, {}};
    ADD_FAILURE() << "no row '" << what << "'";
    return none;
}
Verdict verdict(const plan::HostFacts& facts, const std::string& what,
                const MachineNotes& notes = good_notes()) {
    return row(judge(facts, notes), what).verdict;
}

TEST(Doctor, AGoodMachineHasNothingToFix) {
    for (const std::uint32_t uid : {0u, 1000u})
        for (const Finding& finding : judge(good_facts(uid), good_notes())) {
            EXPECT_NE(finding.verdict, Verdict::fail) << finding.what;
            EXPECT_NE(finding.verdict, Verdict::warn) << finding.what;
            // What other kinds of worlds would need is information.
            if (finding.verdict == Verdict::info) continue;
            EXPECT_EQ(finding.fix, "") << finding.what;
            EXPECT_NE(finding.what, "");
        }
}

TEST(Doctor, OldKernels) {
    plan::HostFacts facts = good_facts();
    facts.kernel_release = "5.10.0";
    facts.kernel_major = 5;
    facts.kernel_minor = 10;
    const auto findings = judge(facts, good_notes());
    EXPECT_EQ(row(findings, "kernel").verdict, Verdict::fail);
    EXPECT_EQ(row(findings, "kernel").detail, "5.10.0 (Debian 12)");
    EXPECT_EQ(row(findings, "kernel").fix, "Linux 5.12 or newer is needed");
}

TEST(Doctor, UserNamespacesAreNeededByOrdinaryUsersOnly) {
    for (const auto& [uid, expected] : {std::pair{0u, Verdict::warn}, {1000u, Verdict::fail}}) {
        plan::HostFacts facts = good_facts(uid);
        facts.user_namespace = lacks();
        const auto findings = judge(facts, good_notes());
        EXPECT_EQ(row(findings, "user namespaces").verdict, expected);
        EXPECT_EQ(row(findings, "user namespaces").detail, "because");
        EXPECT_EQ(row(findings, "user namespaces").fix, "do this");
    }
}

TEST(Doctor, OneKindOfCaptureIsEnough) {
    plan::HostFacts no_overlay = good_facts(), no_fuse = good_facts(), neither = good_facts();
    no_overlay.overlay = no_fuse.fuse = neither.overlay = neither.fuse = lacks();
    EXPECT_EQ(verdict(no_overlay, "overlay"), Verdict::warn);
    EXPECT_EQ(verdict(no_overlay, "fuse-overlayfs"), Verdict::pass);
    EXPECT_EQ(verdict(no_fuse, "overlay"), Verdict::pass);
    EXPECT_EQ(verdict(no_fuse, "fuse-overlayfs"), Verdict::info);
    EXPECT_EQ(verdict(neither, "overlay"), Verdict::fail);
    EXPECT_EQ(verdict(neither, "fuse-overlayfs"), Verdict::fail);
}

TEST(Doctor, WhatAWorldCannotDoWithout) {
    plan::HostFacts facts = good_facts();
    facts.net_namespace = facts.proc_mount = lacks();
    EXPECT_EQ(verdict(facts, "network namespace"), Verdict::fail);
    EXPECT_EQ(verdict(facts, "fresh /proc"), Verdict::fail);
}

TEST(Doctor, AppArmorIsNamedOnlyWhereItRestricts) {
    MachineNotes notes = good_notes();
    for (const char* value : {"", "0"}) {
        notes.apparmor_userns = value;
        for (const Finding& finding : judge(good_facts(), notes)) EXPECT_NE(finding.what, "AppArmor");
    }
    notes.apparmor_userns = "1";
    EXPECT_EQ(verdict(good_facts(), "AppArmor", notes), Verdict::warn);
}

TEST(Doctor, LimitsThatWouldNotHold) {
    MachineNotes notes = good_notes();
    EXPECT_EQ(row(judge(good_facts(), notes), "cgroups").verdict, Verdict::pass);
    notes.missing_limits = {{"cgroup", "no limit on memory: no delegation", "systemd-run --user --scope"},
                            {"cgroup", "no limit on processes: no delegation", ""}};
    const auto findings = judge(good_facts(), notes);
    EXPECT_EQ(row(findings, "cgroups").verdict, Verdict::warn);
    EXPECT_EQ(row(findings, "cgroups").fix, "systemd-run --user --scope");
    EXPECT_NE(row(findings, "cgroups").detail.find("processes"), std::string::npos);
}

TEST(Doctor, AGatewayThatIsMissingIsAWarning) {
    MachineNotes notes = good_notes();
    EXPECT_EQ(verdict(good_facts(), "gateway", notes), Verdict::pass);
    plan::HostFacts facts = good_facts();
    facts.net_namespace = lacks();
    EXPECT_EQ(row(judge(facts, notes), "gateway").fix, "do this");
    notes.gateway_problem = "it ends at once";
    EXPECT_EQ(verdict(good_facts(), "gateway", notes), Verdict::warn);
    EXPECT_NE(row(judge(good_facts(), notes), "gateway").fix, "");
    notes.gateway.clear();
    EXPECT_EQ(verdict(good_facts(), "gateway", notes), Verdict::warn);
}

TEST(Doctor, WhatNetworksNeedHasARowEach) {
    plan::HostFacts facts = good_facts();
    MachineNotes notes = good_notes();
    EXPECT_EQ(verdict(facts, "nftables in worlds"), Verdict::pass);
    EXPECT_EQ(verdict(facts, "net.mode veth"), Verdict::pass);
    notes.ip_forward = "0";
    EXPECT_NE(row(judge(facts, notes), "net.mode veth").fix.find("ip_forward=1"), std::string::npos);
    EXPECT_EQ(doctor_json(facts, notes, {})["ip_forward"], false);
    facts.nftables = facts.veth = facts.ipv6 = lacks();
    EXPECT_EQ(verdict(facts, "nftables in worlds"), Verdict::warn);
    for (const char* what : {"nftables in worlds", "net.mode veth", "IPv6 in worlds"})
        EXPECT_EQ(row(judge(facts, notes), what).fix, "do this") << what;
    EXPECT_EQ(doctor_json(facts, notes, {})["nftables"], false);
    EXPECT_EQ(doctor_json(facts, notes, {})["gateway_starts"], true);
}

TEST(Doctor, WhatOtherKindsOfWorldsNeedHasAFixEach) {
    MachineNotes notes = good_notes();
    for (const char* what : {"KVM", "microVM kernel", "microVM program", "Docker", "Podman", "Lima", "Nix"}) {
        EXPECT_EQ(verdict(good_facts(), what, notes), Verdict::info);
        EXPECT_NE(row(judge(good_facts(), notes), what).fix, "") << what;
    }
    notes.lima = "/usr/bin/limactl";
    notes.microvm_kernel = "/boot/vmlinuz";
    EXPECT_EQ(row(judge(good_facts(), notes), "Lima").fix, "");
    const Json json = doctor_json(good_facts(), notes, {});
    EXPECT_EQ(json["lima"], "/usr/bin/limactl");
    EXPECT_EQ(json["microvm"]["kernel"], "/boot/vmlinuz");
    EXPECT_EQ(json["podman"], nullptr);
    EXPECT_EQ(json["backends"]["microvm"], false);
}

TEST(Doctor, DefaultLimitsAreNamed) {
    plan::HostFacts facts = good_facts();
    facts.process_count.ok = true;
    EXPECT_EQ(row(judge(facts, good_notes()), "default limits").detail,
              "memory 6144 MiB, processes 3072 (also by user namespace), /tmp 2048 MiB; world.limits of a "
              "policy sets others");
    EXPECT_EQ(doctor_json(facts, good_notes(), {})["default_limits"]["pids"], 3072);
    facts.memory_bytes = 0;
    EXPECT_EQ(verdict(facts, "default limits"), Verdict::warn);
}

TEST(Doctor, LandlockThatIsNotUsed) {
    for (const int abi : {0, 1, 7}) {
        plan::HostFacts facts = good_facts();
        facts.landlock_abi = abi;
        EXPECT_EQ(row(judge(facts, good_notes()), "landlock").verdict,
                  abi > 1 ? Verdict::pass : Verdict::warn);
    }
}

TEST(Doctor, SeccompMustRefuseAndLog) {
    MachineNotes notes = good_notes();
    EXPECT_EQ(verdict(good_facts(), "seccomp", notes), Verdict::pass);
    for (const char* actions : {"", "kill errno allow", "log allow", "errnolog"}) {
        notes.seccomp_actions = actions;
        EXPECT_EQ(verdict(good_facts(), "seccomp", notes), Verdict::fail) << actions;
    }
}

TEST(Doctor, ADiskThatIsNearlyFullIsAWarning) {
    MachineNotes notes = good_notes();
    EXPECT_EQ(row(judge(good_facts(), notes), "capture root").detail,
              "/home/ada/.substrate/overlay (1024 MiB free)");
    notes.capture_roots.front().bytes_left = 1 << 20;
    EXPECT_EQ(verdict(good_facts(), "capture root", notes), Verdict::warn);
}

TEST(Doctor, PatternsThatCannotBeHeldAreAWarning) {
    plan::HostFacts facts = good_facts();
    EXPECT_EQ(row(judge(facts, good_notes()), "denied patterns").verdict, Verdict::pass);
    facts.path_guard = lacks();
    EXPECT_EQ(row(judge(facts, good_notes()), "denied patterns").verdict, Verdict::warn);
    EXPECT_EQ(row(judge(facts, good_notes()), "denied patterns").fix, "do this");
}

TEST(Doctor, NotesAreOnlyInformation) {
    MachineNotes notes = good_notes();
    plan::HostFacts facts = good_facts();
    facts.landlock_abi = 0;
    auto findings = judge(facts, notes);
    EXPECT_EQ(row(findings, "landlock").detail, "not in this kernel, or switched off");
    EXPECT_EQ(row(findings, "nft").detail, "not installed");
    EXPECT_EQ(row(findings, "dmesg_restrict").detail, "unknown");
    EXPECT_EQ(row(findings, "agent").detail, "not running; started on demand");
    EXPECT_EQ(row(findings, "Nix").detail, "not installed");
    notes.nft = "/usr/sbin/nft";
    notes.nft_version = "1.0.6";
    notes.podman = "/usr/bin/podman";
    notes.kvm = notes.docker = notes.agent_running = true;
    findings = judge(good_facts(), notes);
    EXPECT_EQ(row(findings, "landlock").detail, "ABI 2: files");
    EXPECT_EQ(row(findings, "nft").detail, "/usr/sbin/nft (1.0.6)");
    EXPECT_EQ(row(findings, "Podman").detail, "/usr/bin/podman");
    EXPECT_EQ(row(findings, "KVM").detail, "/dev/kvm can be opened");
    EXPECT_EQ(row(findings, "agent").detail, "running");
    EXPECT_EQ(std::ranges::count(findings, "capture root", &Finding::what), 2);
}

TEST(DoctorJson, SaysTheSameToPrograms) {
    plan::HostFacts facts = good_facts();
    facts.overlay = lacks();
    const auto findings = judge(facts, good_notes());
    const Json json = doctor_json(facts, good_notes(), findings);
    ASSERT_EQ(json["findings"].size(), findings.size());
    EXPECT_EQ(json["kernel"], "6.1.0-test");
    EXPECT_EQ(json["overlay_mount_ok"], false);
    EXPECT_EQ(json["userns"], "enabled");
    EXPECT_EQ(json["backends"]["local"], true);
    for (const Json& one : json["findings"])
        if (one["what"] == "overlay") {
            EXPECT_EQ(one["verdict"], "WARN");
            EXPECT_EQ(one["fix"], "do this");
        }
}

TEST(DoctorJson, WithoutUserNamespacesOnlyRootHasTheLocalBackend) {
    for (const auto& [uid, local] : {std::pair{0u, true}, {1000u, false}}) {
        plan::HostFacts facts = good_facts(uid);
        facts.user_namespace = lacks();
        const Json json = doctor_json(facts, good_notes(), {});
        EXPECT_EQ(json["backends"]["local"], local);
        EXPECT_EQ(json["userns"], "because");
    }
}

}  // namespace
}  // namespace substrate::shell
