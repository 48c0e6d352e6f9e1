#include "supervisor/command_line.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

class CommandLineTest : public test_support::SupervisorTest {
  protected:
    void SetUp() override {
        SupervisorTest::SetUp();
        for (const char* dir : {"/one", "/two"}) ASSERT_TRUE(sys::make_dirs(base_ + dir, 0755));
    }
    void make_program(const std::string& name, mode_t mode = 0755) const {
        write(base_ + name, "#!/bin/sh\n");
        ASSERT_EQ(::chmod((base_ + name).c_str(), mode), 0);
    }
    ExecRequest request(const std::string& cmd) const {
        ExecRequest made;
        made.cmd = cmd;
        made.cwd = project_;
        made.env = {{"PATH", base_ + "/one:" + base_ + "/two"}};
        return made;
    }
    static world::ExecOrder order_for(const ExecRequest& request) {
        world::ExecOrder order;
        set_command(order, request, "wld_1", "spn_1");
        return order;
    }
    static bool has(const world::ExecOrder& order, const std::string& variable) {
        return std::ranges::count(order.environment, variable) == 1;
    }
    // The program that `cmd` starts with `path` as PATH: a path, or "shell".
    std::string program_with(const std::string& path, const std::string& cmd) const {
        ExecRequest made = request(cmd);
        made.env["PATH"] = path;
        const world::ExecOrder order = order_for(made);
        return order.program == made.shell ? "shell" : order.program;
    }
    using Words = std::vector<std::string>;
};

TEST_F(CommandLineTest, SimpleCommandsAreExecutedDirectly) {
    make_program("/two/tool");
    const world::ExecOrder order = order_for(request("tool a  -b"));
    EXPECT_EQ(order.program, base_ + "/two/tool");
    EXPECT_EQ(order.argv, (Words{"tool", "a", "-b"}));
    EXPECT_EQ(order.fallback_program, "/bin/bash");
    EXPECT_EQ(order.fallback_argv, (Words{"bash", "-c", "tool a  -b"})) << "the line as it was typed";
    EXPECT_TRUE(has(order, "_=" + base_ + "/two/tool"));
    EXPECT_TRUE(has(order, "SHLVL=0"));
}

TEST_F(CommandLineTest, TheWorldIsNamedInTheEnvironment) {
    ExecRequest made = request("a | b");
    made.env["LANG"] = "C";
    made.umask = 027;
    const world::ExecOrder order = order_for(made);
    for (const std::string& variable : {std::string("SUBSTRATE=1"), std::string("SUBSTRATE_WORLD_ID=wld_1"),
                                        std::string("SUBSTRATE_SPAN_ID=spn_1"), std::string("LANG=C"),
                                        "PWD=" + project_, "PATH=" + base_ + "/one:" + base_ + "/two"})
        EXPECT_TRUE(has(order, variable)) << variable;
    EXPECT_EQ(order.cwd, project_);
    EXPECT_EQ(order.umask, 027u);
}

TEST_F(CommandLineTest, WithoutAPathThereIsADefault) {
    ExecRequest made = request("sh -x");
    made.env.clear();
    const world::ExecOrder order = order_for(made);
    EXPECT_TRUE(order.program.ends_with("/sh") && order.program.front() == '/') << order.program;
    EXPECT_TRUE(has(order, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
}

TEST_F(CommandLineTest, TheRestIsTheShells) {
    make_program("/one/tool");
    for (const char* cmd :
         {"tool | x", "tool; x", "cd /", "tool $X", "tool 'a'", "no-such-program", "X=1 tool", "  "}) {
        const world::ExecOrder order = order_for(request(cmd));
        EXPECT_EQ(order.program, "/bin/bash") << cmd;
        EXPECT_EQ(order.argv, (Words{"bash", "-c", cmd})) << cmd;
        EXPECT_TRUE(order.fallback_program.empty()) << cmd;
        EXPECT_FALSE(has(order, "SHLVL=0")) << cmd;
    }
}

TEST_F(CommandLineTest, ALoginShellReadsItsProfileFirst) {
    make_program("/one/tool");
    ExecRequest made = request("tool");
    made.login_shell = true;
    made.shell = "/usr/bin/dash";
    const world::ExecOrder order = order_for(made);
    EXPECT_EQ(order.program, "/usr/bin/dash");
    EXPECT_EQ(order.argv, (Words{"dash", "-lc", "tool"}));
}

TEST_F(CommandLineTest, ArgumentsAreNeverAShellLine) {
    make_program("/one/tool");
    ExecRequest made = request("");
    made.argv = {"tool", "$(id)", "; rm", ""};
    world::ExecOrder order = order_for(made);
    EXPECT_EQ(order.program, base_ + "/one/tool");
    EXPECT_EQ(order.argv, made.argv);
    EXPECT_EQ(order.fallback_argv, (Words{"bash", "-c", "exec \"$0\" \"$@\"", "tool", "$(id)", "; rm", ""}));
    // Not found: the shell gets to say so, with the words still apart.
    made.argv = {"no-such-program", "$(id)"};
    order = order_for(made);
    EXPECT_EQ(order.program, "no-such-program");
    EXPECT_EQ(order.fallback_argv, (Words{"bash", "-c", "exec \"$0\" \"$@\"", "no-such-program", "$(id)"}));
    made.argv = {"cd", "/"};
    EXPECT_EQ(order_for(made).program, "cd") << "built-ins are no programs";
}

TEST_F(CommandLineTest, PathIsSearchedAsExecvpDoes) {
    make_program("/one/both");
    make_program("/two/both");
    make_program("/one/not-executable", 0644);
    make_program("/two/not-executable");
    make_program("/one/nowhere-executable", 0644);
    ASSERT_TRUE(sys::make_dirs(base_ + "/one/directory", 0755));
    make_program("/two/directory");
    ASSERT_EQ(::symlink("both", (base_ + "/one/link").c_str()), 0);
    ASSERT_EQ(::symlink("nothing", (base_ + "/one/dangling").c_str()), 0);
    const std::string path = base_ + "/one:" + base_ + "/two";
    EXPECT_EQ(program_with(path, "both x"), base_ + "/one/both");
    EXPECT_EQ(program_with(path, "not-executable"), base_ + "/two/not-executable");
    EXPECT_EQ(program_with(path, "nowhere-executable"), "shell") << "it says why not";
    EXPECT_EQ(program_with(path, "directory"), base_ + "/two/directory");
    EXPECT_EQ(program_with(path, "link"), base_ + "/one/link");
    EXPECT_EQ(program_with(path, "dangling"), "shell");
    EXPECT_EQ(program_with("", "both"), "shell");
    EXPECT_EQ(program_with(base_ + "/missing:" + base_ + "/two", "both"), base_ + "/two/both");
    EXPECT_EQ(program_with(base_ + "/one/", "both"), base_ + "/one//both");
}

TEST_F(CommandLineTest, ProgramsWithASlashAreTakenAsTheyAre) {
    EXPECT_EQ(program_with("/bin", "./configure x"), "./configure");
    EXPECT_EQ(program_with("/bin", "sub/tool"), "sub/tool");
    EXPECT_EQ(program_with("/bin", "/no/such/tool"), "/no/such/tool") << "the fallback says what is wrong";
}

// "./tool" or the later one: that depends on where the command is by then.
TEST_F(CommandLineTest, ARelativeEntryBeforeTheProgramIsTheShells) {
    make_program("/one/tool");
    for (const char* relative : {".", "bin", "./bin", "..", "~/bin"})
        EXPECT_EQ(program_with(relative + (":" + base_) + "/one", "tool"), "shell") << relative;
    EXPECT_EQ(program_with(base_ + "/one:.", "tool"), base_ + "/one/tool") << "found before";
}
// An empty entry is the current directory (POSIX, XBD 8.3), not the root.
TEST_F(CommandLineTest, AnEmptyEntryIsTheCurrentDirectory) {
    make_program("/one/tool");
    EXPECT_EQ(program_with(":" + base_ + "/one", "tool"), "shell");
    // From "/" on: the empty entry must not be read as the root.
    EXPECT_EQ(program_with(":/nowhere", base_.substr(1, base_.find('/', 1) - 1)), "shell");
    ExecRequest made = request("");
    made.argv = {"tool"};
    made.env["PATH"] = ":" + base_ + "/one";
    EXPECT_EQ(order_for(made).program, "tool") << "the fallback's search, in the command's directory";
}

TEST_F(CommandLineTest, AProgramsIdentityChangesWithIt) {
    make_program("/one/tool");
    const std::string before = program_identity(base_ + "/one/tool");
    EXPECT_TRUE(before.starts_with("stat:"));
    EXPECT_EQ(program_identity(base_ + "/one/tool"), before);
    write(base_ + "/one/tool", "#!/bin/sh\nexit\n");
    EXPECT_NE(program_identity(base_ + "/one/tool"), before);
    EXPECT_EQ(program_identity(base_ + "/none"), "");
}

}  // namespace
}  // namespace substrate::supervisor
