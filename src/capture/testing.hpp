#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/skip_test_support.hpp"
#include "capture/change.hpp"
#include "capture/overlay_walk.hpp"
#include "sys/unique_fd.hpp"

// Scratch trees and real overlay mounts for the tests of capture and apply.
namespace substrate::capture::testing {

// A directory of its own below `base`, removed at the end.
class TempDir {
  public:
    explicit TempDir(const std::string& base = "");  // $TMPDIR or /tmp
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir();
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

sys::UniqueFd open_dir(const std::string& path);
// Runs `script` by sh -e in `directory`; a failing script fails the test and is false.
bool shell(const std::string& directory, const std::string& script);
std::string read_text(const std::string& path);

// One line per object: path, type, mode, owner, size, mtime, link target or content.
std::string dump_tree(const std::string& root);

// Why overlay mounts in a user namespace do not work here; empty when they do.
const std::string& overlay_problem();
#define SKIP_WITHOUT_OVERLAY() SUB_SKIP_WITHOUT("overlay", ::substrate::capture::testing::overlay_problem())

// Mounts an overlay in a child with its own user and mount namespaces and runs
// `inside` there with the mount as working directory; what it returns comes back.
// `upper` and `work` empty: a read-only mount of the lowers (top first).
std::string in_overlay(const std::vector<std::string>& lowers, const std::string& upper,
                       const std::string& work, const std::string& mount_point,
                       const std::function<std::string()>& inside);

// A project and one capture of it: directories project, upper, work, merged, before.
class Scratch {
  public:
    explicit Scratch(const std::string& before_base = "");

    std::string at(const std::string& name) const { return root_.path() + "/" + name; }
    std::string project() const { return at("project"); }
    std::string before() const { return before_; }
    // Prepares the project, with times in the past.
    void prepare(const std::string& script) const;
    // Runs a command in the captured project.
    void run(const std::string& script) const;
    OverlayLayers layers();
    // The project as lowerdir=before:project shows it.
    std::string view_of_before() const;

  private:
    TempDir root_;
    std::string before_;
    std::unique_ptr<TempDir> elsewhere_;
    std::vector<sys::UniqueFd> open_;
};

// "create file a/b", sorted.
std::vector<std::string> lines_of(const std::function<Result<>(const ChangeSink&)>& walk);
std::vector<std::string> overlay_lines(const OverlayLayers& layers);

}  // namespace substrate::capture::testing
