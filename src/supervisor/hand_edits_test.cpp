#include "supervisor/hand_edits.hpp"

#include <algorithm>

#include "base/ids.hpp"
#include "supervisor/supervisor_test_support.hpp"

namespace substrate::supervisor {
namespace {

using Paths = std::vector<std::string>;

class HandEditsTest : public test_support::SupervisorTest {
  protected:
    // A time after everything so far and before everything that follows.
    static std::int64_t now(const Store& store) {
        const std::int64_t before = sys::stamp_now(store.fd()).value();
        std::int64_t stamp = before;
        while (stamp == before) stamp = sys::stamp_now(store.fd()).value();
        return stamp;
    }
    static Paths edits(const Store& store, const Paths& layers, std::int64_t since, std::size_t most = 1000) {
        auto found = hand_edits(store, layers, since, most);
        EXPECT_TRUE(found) << found.error().describe();
        Paths paths = found.value_or(Paths{});
        std::ranges::sort(paths);
        return paths;
    }
};

TEST_F(HandEditsTest, EditsAreNamedAndOurChangesAreNot) {
    Store store = open_store();
    for (const char* name : {"/old", "/edited", "/ours", "/dir/in", "/dir/kept"}) write(project_ + name, "x");
    const std::int64_t since = now(store);
    env_.now_ns = since;
    EXPECT_EQ(edits(store, {}, since), Paths{});

    const Captured captured = make_capture(store, "wld_1");
    write(source(store, captured) + "/ours", "new");
    write(source(store, captured) + "/dir/in", "new");
    write(source(store, captured) + "/new/deep", "new");
    const auto applied = apply_captured(store, env_, captured, make_span_id(env_), "wld_1", /*movable=*/true);
    ASSERT_TRUE(applied && applied->state == "applied");
    std::string why;
    const auto layers = layers_back_to(store, since, why).value();
    ASSERT_TRUE(layers && layers->size() == 1) << why;
    EXPECT_EQ(edits(store, *layers, since), Paths{});
    EXPECT_EQ(edits(store, {}, since), (Paths{"dir/in", "new/deep", "ours"}));

    write(project_ + "/edited", "by hand");
    write(project_ + "/dir/by-hand", "x");
    write(project_ + "/ours", "hidden by what was there then");
    EXPECT_EQ(edits(store, *layers, since), (Paths{"dir/by-hand", "edited"}));
    EXPECT_EQ(edits(store, *layers, since, 1).size(), 1u);
    EXPECT_EQ(edits(store, *layers, now(store)), Paths{});
}

}  // namespace
}  // namespace substrate::supervisor
