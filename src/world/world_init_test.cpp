// The init of a world, started as somebody might do it by hand.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "process/spawn.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"

namespace substrate::world {
namespace {

struct Outcome {
    int status = -1;
    std::string output;
};

// With `extra` descriptors beside the standard streams, as if they were its own 3, 4, ….
Outcome start_by_hand(unsigned extra) {
    const char* bin = std::getenv("SUBSTRATE_TEST_BIN");
    std::string program =
        std::string(bin != nullptr ? bin : SUBSTRATE_TEST_BIN_DIR) + "/substrate-world-init";
    auto pipe = sys::make_pipe();
    EXPECT_TRUE(pipe);
    char* argv[] = {program.data(), nullptr};
    char* environment[] = {nullptr};
    process::ChildPlan child_plan;
    child_plan.program = program.c_str();
    child_plan.argv = argv;
    child_plan.envp = environment;
    child_plan.placements[0] = {0, 0};
    child_plan.placements[1] = {pipe->write.get(), 1};
    child_plan.placements[2] = {pipe->write.get(), 2};
    for (unsigned i = 0; i < extra; ++i)
        child_plan.placements[3 + i] = {pipe->write.get(), static_cast<int>(3 + i)};
    child_plan.placement_count = 3 + extra;
    const auto child = process::spawn(child_plan);
    EXPECT_TRUE(child) << child.error().message();
    if (!child) return {};
    pipe->write.reset();
    Outcome outcome;
    outcome.output = sys::read_to_end(pipe->read.get(), 1 << 16).value();
    outcome.status = process::wait_for(*child).value();
    return outcome;
}

TEST(WorldInit, SaysWhatItIsInsteadOfActing) {
    for (const unsigned extra : {0u, 1u, 3u}) {
        const Outcome outcome = start_by_hand(extra);
        EXPECT_TRUE(WIFEXITED(outcome.status));
        EXPECT_EQ(WEXITSTATUS(outcome.status), 2) << extra;
        EXPECT_EQ(outcome.output, "substrate-world-init: started by substrate only, as PID 1 of a world\n")
            << extra;
    }
}

}  // namespace
}  // namespace substrate::world
