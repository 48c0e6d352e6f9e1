#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <functional>

#include "base/ids.hpp"
#include "base/skip_test_support.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/socket.hpp"
#include "world/probe.hpp"
#include "world/seccomp.hpp"
#include "world/world.hpp"

namespace substrate::world::test_support {

// The init that was built with this test: SUBSTRATE_TEST_BIN is set by CTest.
inline std::string init_program() {
    const char* bin = std::getenv("SUBSTRATE_TEST_BIN");
    return std::string(bin != nullptr ? bin : SUBSTRATE_TEST_BIN_DIR) + "/substrate-world-init";
}

class WorldTest : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string path = "/var/tmp/substrate-world-test-XXXXXX";
        ASSERT_NE(::mkdtemp(path.data()), nullptr);
        base_ = path;
        for (const char* name : {"/project", "/store", "/home"})
            ASSERT_TRUE(sys::make_dirs(base_ + name, 0755));
        auto facts = probe_host(env_, {init_program(), base_ + "/home", base_ + "/store"});
        ASSERT_TRUE(facts) << facts.error().message();
        facts_ = *facts;
        SUB_SKIP_WITHOUT("userns",
                         facts_.user_namespace.ok ? "" : "the probe says: " + facts_.user_namespace.reason);
        auto seccomp = compile_seccomp(SeccompMode::enforce);
        ASSERT_TRUE(seccomp) << seccomp.error().message();
        seccomp_ = *seccomp;
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, base_)); }

    // `change` makes of the spec what the test wants.
    plan::WorldPlan make_plan(CaptureStrategy capture = CaptureStrategy::overlay,
                              const std::function<void(plan::WorldSpec&)>& change = {}) {
        plan::WorldSpec spec;
        spec.world_id = make_world_id(env_);
        spec.project = HostPath(base_ + "/project");
        const auto st = sys::stat_at(AT_FDCWD, spec.project.c_str()).value().value();
        spec.project_device = sys::device_of(st);
        spec.project_inode = st.stx_ino;
        spec.store = HostPath(base_ + "/store");
        spec.capture = capture;
        spec.capture_is_required = true;
        if (change) change(spec);
        auto plan = plan::plan_world(spec, facts_);
        EXPECT_TRUE(plan) << plan.error().describe();
        world_ = "worlds/" + spec.world_id;
        EXPECT_TRUE(sys::make_dirs(base_ + "/store/" + world_, 0700));
        make_slot("0");
        return *plan;
    }
    std::string make_slot(const std::string& name) {
        const std::string slot = world_ + "/slots/" + name;
        for (const char* part : {"/upper", "/work", "/tree"})
            EXPECT_TRUE(sys::make_dirs(base_ + "/store/" + slot + part, 0755));
        return slot;
    }
    struct Run {
        int exit = -1;
        std::string output;
        Exited exited;
    };
    // Begins to run `line`; its output and errors can be read from what is returned.
    sys::UniqueFd begin(World& world, const std::string& line, const std::string& slot) {
        int fds[2];
        EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
        sys::UniqueFd read(fds[0]), write(fds[1]);
        const sys::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        ExecOrder order;
        order.slot.path = slot;
        order.program = "/bin/bash";
        order.argv = {"bash", "-c", line};
        order.environment = {"PATH=/usr/bin:/bin"};
        order.cwd = base_ + "/project";
        EXPECT_TRUE(world.exec(order, {null.get(), write.get(), write.get()}));
        return read;
    }
    Run run(World& world, const std::string& line, const std::string& slot) {
        return finish(world, begin(world, line, slot));
    }
    Run finish(World& world, const sys::UniqueFd& output) {
        Run result;
        result.output = sys::read_to_end(output.get(), 1 << 20).value();
        auto event = world.receive();
        while (event && (std::holds_alternative<Ready>(*event) || std::holds_alternative<Uplink>(*event)))
            event = world.receive();
        EXPECT_TRUE(event) << event.error().message();
        if (const auto* failed = std::get_if<Failed>(&*event)) ADD_FAILURE() << failed->message;
        if (const auto* exited = std::get_if<Exited>(&*event)) {
            result.exited = *exited;
            result.exit = WEXITSTATUS(exited->wait_status);
        }
        return result;
    }

    sys::HostEnv env_;
    std::string base_, world_;
    plan::HostFacts facts_;
    SeccompProgram seccomp_;
};

}  // namespace substrate::world::test_support
