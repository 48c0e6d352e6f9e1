#include "capture/testing.hpp"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "capture/layer_walk.hpp"
#include "sys/file.hpp"

namespace substrate::capture::testing {
namespace {

std::string unique_directory(const std::string& base) {
    const char* wanted = ::getenv("TMPDIR");
    std::string path = !base.empty() ? base : wanted != nullptr ? wanted : "/tmp";
    path += "/capture-test.XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << path;
    return path;
}

bool write_text(const char* path, const std::string& text) {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    const bool done = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::close(fd);
    return done;
}

// In the child; names the step that failed.
const char* enter_overlay(const std::string& options, const std::string& mount_point) {
    const auto uid = std::to_string(::geteuid());
    const auto gid = std::to_string(::getegid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return "no user namespaces";
    if (!write_text("/proc/self/setgroups", "deny")) return "setgroups";
    if (!write_text("/proc/self/uid_map", uid + " " + uid + " 1")) return "uid_map";
    if (!write_text("/proc/self/gid_map", gid + " " + gid + " 1")) return "gid_map";
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "private mounts";
    if (::mount("overlay", mount_point.c_str(), "overlay", 0, options.c_str()) != 0)
        return "no overlay mount in a user namespace";
    if (::chdir(mount_point.c_str()) != 0) return "chdir";
    return nullptr;
}

// Runs `work` in a child; its text, or "!" and the problem.
std::string in_child(const std::function<std::string()>& work) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return "!pipe";
    const pid_t child = ::fork();
    if (child == 0) {
        const std::string text = work();
        (void)sys::write_all(ends[1], text);
        ::_exit(0);
    }
    ::close(ends[1]);
    auto text = sys::read_to_end(ends[0], 1u << 30);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return text && status == 0 ? *text : "!child failed";
}

}  // namespace

TempDir::TempDir(const std::string& base) : path_(unique_directory(base)) {}
TempDir::~TempDir() { (void)sys::remove_tree_at(AT_FDCWD, path_); }

sys::UniqueFd open_dir(const std::string& path) {
    auto fd = sys::open_path(path, O_RDONLY | O_DIRECTORY);
    if (!fd) ADD_FAILURE() << fd.error().message();
    return fd ? std::move(*fd) : sys::UniqueFd();
}

bool shell(const std::string& directory, const std::string& script) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (::chdir(directory.c_str()) == 0) ::execl("/bin/sh", "sh", "-ec", script.c_str(), nullptr);
        ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0) << script;
    return status == 0;
}

std::string read_text(const std::string& path) {
    auto text = sys::read_file(path);
    return text ? *text : "!" + text.error().message();
}

std::string dump_tree(const std::string& root) {
    std::vector<std::string> lines;
    const auto fd = open_dir(root);
    const ChangeSink sink = [&](const Change& c) -> Result<> {
        std::ostringstream line;
        line << c.path << ' ' << to_string(c.type) << ' ' << std::oct << c.after->stx_mode << std::dec << ' '
             << c.after->stx_uid << ':' << c.after->stx_gid << ' ' << sys::to_ns(c.after->stx_mtime) << ' '
             << c.link_target;
        if (c.type == FileType::regular)
            line << c.after->stx_size << ' ' << read_text(root + "/" + std::string(c.path));
        lines.push_back(line.str());
        return {};
    };
    LayerWalk walk({.upper = fd.get(), .layered = false, .unlock_upper = false}, sink);
    auto walked = walk.run();
    if (!walked) return "!" + walked.error().message();
    std::ranges::sort(lines);
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    return text;
}

std::string in_overlay(const std::vector<std::string>& lowers, const std::string& upper,
                       const std::string& work, const std::string& mount_point,
                       const std::function<std::string()>& inside) {
    std::string options = "userxattr,lowerdir=";
    for (const auto& lower : lowers) options += (lower == lowers.front() ? "" : ":") + lower;
    if (!upper.empty()) options += ",upperdir=" + upper + ",workdir=" + work;
    return in_child([&]() -> std::string {
        if (const char* problem = enter_overlay(options, mount_point)) return std::string("!") + problem;
        return inside();
    });
}

const std::string& overlay_problem() {
    static const std::string problem = [] {
        const Scratch scratch;
        const std::string answer = in_overlay({scratch.project()}, scratch.at("upper"), scratch.at("work"),
                                              scratch.at("merged"), [] { return std::string("fine"); });
        return answer == "fine" ? std::string() : answer.substr(1);
    }();
    return problem;
}

Scratch::Scratch(const std::string& before_base) {
    for (const char* name : {"project", "upper", "work", "merged"})
        EXPECT_TRUE(sys::make_dirs(at(name), 0755).has_value());
    if (!before_base.empty()) elsewhere_ = std::make_unique<TempDir>(before_base);
    before_ = (elsewhere_ ? elsewhere_->path() : root_.path()) + "/before";
    EXPECT_TRUE(sys::make_dirs(before_, 0700).has_value());
}

void Scratch::prepare(const std::string& script) const {
    shell(project(), script + "\nfind . -exec touch -h -d '2020-01-02 03:04:05.6789' {} +");
}

void Scratch::run(const std::string& script) const {
    const std::string answer = in_overlay({project()}, at("upper"), at("work"), at("merged"), [&] {
        return std::string(shell(".", script) ? "fine" : "!script failed");
    });
    EXPECT_EQ(answer, "fine") << script;
}

OverlayLayers Scratch::layers() {
    open_.push_back(open_dir(at("upper")));
    open_.push_back(open_dir(project()));
    return {.upper = open_[open_.size() - 2].get(), .lowers = {open_.back().get()}};
}

std::string Scratch::view_of_before() const {
    return in_overlay({before_, project()}, "", "", at("merged"), [] { return dump_tree("."); });
}

std::vector<std::string> lines_of(const std::function<Result<>(const ChangeSink&)>& walk) {
    std::vector<std::string> lines;
    const ChangeSink sink = [&](const Change& c) -> Result<> {
        std::string line =
            std::string(to_string(c.kind)) + ' ' + to_string(c.type) + ' ' + std::string(c.path);
        if (!c.link_target.empty()) line += " -> " + std::string(c.link_target);
        if (!c.renamed_from.empty()) line += " <- " + std::string(c.renamed_from);
        lines.push_back(std::move(line));
        return {};
    };
    const auto walked = walk(sink);
    if (!walked) lines.push_back("!" + walked.error().message());
    std::ranges::sort(lines);
    return lines;
}

std::vector<std::string> overlay_lines(const OverlayLayers& layers) {
    return lines_of([&](const ChangeSink& sink) { return walk_overlay(layers, sink); });
}

}  // namespace substrate::capture::testing
