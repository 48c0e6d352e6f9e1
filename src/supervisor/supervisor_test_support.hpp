#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>
#include <optional>
#include <span>
#include <string>

#include "base/env.hpp"
#include "base/ids.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/store.hpp"
#include "sys/directory.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

// A project, a capture root and captures made by hand, for the tests of the
// supervisor that need no running world.
namespace substrate::supervisor::test_support {

// A clock that goes on by a microsecond whenever it is read, and numbers for chance.
class FakeEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override { return now_ns += 1000; }
    std::int64_t monotonic_ns() const override { return realtime_ns(); }
    void random(std::span<std::uint8_t> bytes) const override {
        ++drawn;
        for (std::size_t i = 0; i < bytes.size(); ++i)  // the number last, so that ids sort as they are made
            bytes[bytes.size() - 1 - i] = static_cast<std::uint8_t>(i < 4 ? drawn >> (8 * i) : 0x5a);
    }
    std::optional<std::string> variable(std::string_view name) const override {
        const auto it = variables.find(name);
        return it == variables.end() ? std::nullopt : std::optional(it->second);
    }
    mutable std::int64_t now_ns = 1'700'000'000'000'000'000;
    mutable std::uint64_t drawn = 0;
    std::map<std::string, std::string, std::less<>> variables;
};

class SupervisorTest : public ::testing::Test {
  protected:
    void SetUp() override {
        // Not /tmp, which may be a tmpfs: captures keep off those.
        base_ = "/var/tmp/substrate-supervisor-test-XXXXXX";
        ASSERT_NE(::mkdtemp(base_.data()), nullptr);
        project_ = base_ + "/project";
        root_ = base_ + "/home/overlay";
        ASSERT_TRUE(sys::make_dirs(project_, 0755));
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, base_)); }

    static void write(const std::string& path, std::string_view text) {
        ASSERT_TRUE(sys::make_dirs(path.substr(0, path.find_last_of('/')), 0755));
        const auto written = sys::replace_file(path, text, 0644);
        ASSERT_TRUE(written) << written.error().message();
    }
    static std::string read(const std::string& path) {
        const auto text = sys::read_file(path);
        return text ? *text : "!" + text.error().message();
    }
    static bool exists(const std::string& path) {
        const auto st = sys::stat_at(AT_FDCWD, path.c_str());
        return st && *st;
    }
    // "path type size mtime" of everything below.
    static std::string listing(const std::string& path) {
        std::string text;
        const auto fd = sys::open_path(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (!fd) return "!" + fd.error().message();
        sys::DirectoryReader reader(fd->get());
        std::map<std::string, std::string> lines;
        for (;;) {
            const auto entry = reader.next();
            if (!entry || *entry == nullptr) break;
            const std::string below = path + "/" + (*entry)->name;
            const auto st = sys::stat_at(AT_FDCWD, below.c_str()).value().value();
            lines[below] = below + " " + std::to_string(st.stx_mode) + " " + std::to_string(st.stx_ino) +
                           " " + std::to_string(sys::to_ns(st.stx_mtime)) + "\n" +
                           ((*entry)->type == DT_DIR ? listing(below) : "");
        }
        for (const auto& [name, line] : lines) text += line;
        return text;
    }

    Store open_store() {
        auto store = Store::open({root_}, project_);
        if (!store) ADD_FAILURE() << store.error().describe();
        return std::move(*store);
    }
    // A capture of a world that has ended: `worlds/<id>/slots/0` with an empty upper (or tree).
    Captured make_capture(Store& store, const std::string& world_id,
                          CaptureStrategy strategy = CaptureStrategy::overlay) {
        const auto lock = store.make_world(world_id, /*reuse=*/false);
        EXPECT_TRUE(lock) << lock.error().message();
        const auto slot = store.make_slot(world_id, 0, strategy);
        EXPECT_TRUE(slot) << slot.error().message();
        Captured captured;
        captured.dir = *slot;
        captured.strategy = strategy;
        captured.captured_ns = kLater;
        const auto marked = mark_captured(store, env_, captured, make_span_id(env_), world_id);
        EXPECT_TRUE(marked) << marked.error().message();
        return captured;
    }
    static std::string source(const Store& store, const Captured& captured) {
        return store.path() + "/" + captured.dir +
               (captured.strategy == CaptureStrategy::copy_diff ? "/tree" : "/upper");
    }
    static void white_out(const std::string& directory, const char* name) {
        const auto dir = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
        ASSERT_TRUE(dir);
        const auto made = sys::make_whiteout_at(dir->get(), name);
        ASSERT_TRUE(made) << made.error().message();
    }
    static bool is_whiteout(const std::string& path) {
        const auto st = sys::stat_at(AT_FDCWD, path.c_str());
        return st && *st && ((*st)->stx_mode & S_IFMT) == S_IFCHR && (*st)->stx_rdev_major == 0 &&
               (*st)->stx_rdev_minor == 0;
    }

    // When a capture was made: before or after everything else in the test.
    static constexpr std::int64_t kLater = INT64_MAX;
    static constexpr std::int64_t kEarlier = 0;
    FakeEnv env_;
    std::string base_, project_, root_;
};

}  // namespace substrate::supervisor::test_support
