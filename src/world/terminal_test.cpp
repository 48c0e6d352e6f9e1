// Commands on a terminal of their world's own.
#include "sys/terminal.hpp"

#include "world/world_test_support.hpp"

namespace substrate::world {
namespace {

using namespace test_support;

class TerminalTest : public WorldTest {
  protected:
    struct Session {
        sys::UniqueFd master;
        std::string output;
        int exit = -1;
    };
    // Runs the line and, when its first output has come, calls `then`.
    Session run_on_terminal(const std::string& line, const std::function<void(int master)>& then = {},
                            bool keep = true) {
        Session session;
        auto world = World::launch(make_plan(), {init_program(), &seccomp_});
        if (!world) ADD_FAILURE() << world.error().describe();
        if (!world) return session;
        ExecOrder order;
        order.slot.path = world_ + "/slots/0";
        order.program = "/bin/bash";
        order.argv = {"bash", "-c", line};
        order.environment = {"PATH=/usr/bin:/bin"};
        order.cwd = base_ + "/project";
        order.terminal = TerminalOrder{.columns = 91, .rows = 17};
        EXPECT_TRUE(world->exec_on_terminal(order));
        while (session.exit < 0) {
            auto event = world->receive();
            EXPECT_TRUE(event) << event.error().message();
            if (!event) return session;
            if (const auto* failed = std::get_if<Failed>(&*event)) {
                ADD_FAILURE() << failed->message;
                return session;
            }
            if (const auto* exited = std::get_if<Exited>(&*event)) session.exit = exited->wait_status;
            if (!std::holds_alternative<TerminalOpened>(*event)) continue;
            session.master = world->take_terminal();
            if (then) {
                read_some(session);
                then(session.master.get());
                if (!keep) session.master.reset();
            }
        }
        while (session.master && read_some(session)) continue;
        return session;
    }
    static bool read_some(Session& session) {
        char buffer[4096];
        const auto n = sys::read_some(session.master.get(), buffer);
        // EIO: nobody has the other end any more.
        if (n) session.output.append(buffer, *n);
        return n && *n > 0;
    }
};

TEST_F(TerminalTest, IsTheWorldsOwnAndControlsTheSession) {
    const Session session = run_on_terminal(
        "tty; stty size; ls /dev/pts; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; echo via >/dev/tty; "
        "ps -o tpgid= -p $$ | tr -d ' ' | sed s/$$/leader/; ls /proc/self/fd | wc -l");
    EXPECT_EQ(session.output, "/dev/pts/0\r\n17 91\r\n0  ptmx\r\nthree\r\nvia\r\nleader\r\n4\r\n");
    EXPECT_EQ(session.exit, 0);
}

// Standard input stays the caller's; the terminal controls the session all the same.
TEST_F(TerminalTest, TakesThePlaceOfSomeStreams) {
    auto world = World::launch(make_plan(), {init_program(), &seccomp_});
    ASSERT_TRUE(world) << world.error().describe();
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    sys::UniqueFd read(fds[0]), write(fds[1]);
    const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ExecOrder order;
    order.slot.path = world_ + "/slots/0";
    order.program = "/bin/bash";
    order.argv = {"bash", "-c",
                  "cat; [ -t 1 ] && [ ! -t 0 ] && [ ! -t 2 ] && tty </dev/tty; echo unseen >&2"};
    order.environment = {"PATH=/usr/bin:/bin"};
    order.cwd = base_ + "/project";
    order.terminal = TerminalOrder{.columns = 91, .rows = 17, .streams = 2};
    ASSERT_TRUE(sys::write_all(write.get(), "from a pipe\n"));
    write.reset();
    ASSERT_TRUE(world->exec(order, {read.get(), null.get(), null.get()}));
    Session session;
    while (session.exit < 0) {
        auto event = world->receive();
        ASSERT_TRUE(event) << event.error().message();
        if (const auto* failed = std::get_if<Failed>(&*event)) FAIL() << failed->message;
        if (const auto* exited = std::get_if<Exited>(&*event)) session.exit = exited->wait_status;
        if (std::holds_alternative<TerminalOpened>(*event)) session.master = world->take_terminal();
    }
    ASSERT_TRUE(session.master);
    while (read_some(session)) continue;
    EXPECT_EQ(session.output, "from a pipe\r\n/dev/tty\r\n");
    EXPECT_EQ(session.exit, 0);
    // A directory leads out of the world, beside a terminal as well.
    const sys::UniqueFd directory(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(world->exec(order, {directory.get(), null.get(), null.get()}));
    const auto event = world->receive();
    ASSERT_TRUE(event);
    ASSERT_TRUE(std::holds_alternative<Failed>(*event));
    EXPECT_TRUE(std::get<Failed>(*event).message.contains("standard input is a directory"));
}

TEST_F(TerminalTest, HasJobControl) {
    const Session session = run_on_terminal(
        "set -m; sleep 1000 & kill -STOP %1; wait %1; jobs -s | grep -c Stopped; kill -KILL %1");
    EXPECT_TRUE(session.output.contains("1\r\n")) << session.output;
}

TEST_F(TerminalTest, ASizeIsToldToTheForeground) {
    // A trap that comes due between two commands of bash waits for the end of the second.
    const Session session = run_on_terminal(
        "trap 'stty size; exit 0' WINCH; echo here; while :; do read -r -t 0.1 x; done",
        [](int master) { EXPECT_TRUE(sys::set_window_size(master, {.columns = 40, .rows = 5})); });
    EXPECT_TRUE(session.output.ends_with("5 40\r\n")) << session.output;
}

TEST_F(TerminalTest, AnInterruptReachesTheForegroundInAnyMode) {
    const Session session = run_on_terminal("stty raw -echo; echo here; exec sleep 1000", [](int master) {
        EXPECT_TRUE(sys::signal_foreground(master, SIGINT));
    });
    EXPECT_TRUE(WIFSIGNALED(session.exit)) << session.output;
    EXPECT_EQ(WTERMSIG(session.exit), SIGINT);
}

TEST_F(TerminalTest, TheEndOfTheTerminalHangsTheSessionUp) {
    const Session session = run_on_terminal("echo here; exec sleep 1000", [](int) {}, /*keep=*/false);
    EXPECT_TRUE(WIFSIGNALED(session.exit));
    EXPECT_EQ(WTERMSIG(session.exit), SIGHUP);
}

}  // namespace
}  // namespace substrate::world
