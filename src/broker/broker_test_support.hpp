#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "broker/places.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::broker {

// The machine's clocks, and a monotonic one that a test can move.
class MovedEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override { return host_.realtime_ns(); }
    std::int64_t monotonic_ns() const override { return host_.monotonic_ns() + ahead_ns; }
    void random(std::span<std::uint8_t> bytes) const override { host_.random(bytes); }
    std::optional<std::string> variable(std::string_view name) const override { return host_.variable(name); }
    std::int64_t ahead_ns = 0;

  private:
    sys::HostEnv host_;
};

// An account with a state directory, a machine's configuration and a project, all below one
// temporary directory.
class BrokerTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string base = "/tmp/broker-test.XXXXXX";
        root_ = ::mkdtemp(base.data());
        for (const char* name : {"/state", "/state/policies", "/etc", "/etc/policies", "/home",
                                 "/home/project", "/home/project/sub"})
            EXPECT_TRUE(sys::make_dirs(root_ + name, 0700));
        project_ = root_ + "/home/project";
        places_ = places_of(root_ + "/state", root_ + "/home", sys::effective_uid());
        places_.system_policies = root_ + "/etc/policies";
        places_.managed_policy = root_ + "/etc/managed.yaml";
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, root_)); }

    // In place of what was there, as an editor saves.
    void write(const std::string& path, const std::string& text, mode_t mode = 0600) const {
        EXPECT_TRUE(sys::replace_file(path, text, mode));
    }
    void write_user(const std::string& id, const std::string& rest) const {
        write(places_.user_policies + "/" + id + ".yaml", "id: " + id + "\n" + rest);
    }

    std::string root_, project_;
    Places places_;
    MovedEnv env_;
};

}  // namespace substrate::broker
