#include "supervisor/store.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "supervisor/supervisor_test_support.hpp"
#include "sys/file_lock.hpp"

namespace substrate::supervisor {
namespace {

class StoreTest : public test_support::SupervisorTest {
  protected:
    Manifest manifest(std::int64_t captured_ns, KeptState state = KeptState::applied) {
        Manifest made;
        made.span_id = make_span_id(env_);
        made.project = project_;
        made.world_id = make_world_id(env_);
        made.state = state;
        made.captured_ns = captured_ns;
        made.settled_ns = captured_ns + 1;
        made.dir = Store::span_dir(made.span_id);
        return made;
    }
};

bool is_tmpfs(const std::string& path) {
    const auto fd = sys::open_path(path, O_RDONLY | O_DIRECTORY);
    const auto magic = fd ? sys::file_system_magic(fd->get()) : Result<std::int64_t>(0);
    return magic && *magic == TMPFS_MAGIC;
}

TEST_F(StoreTest, CreatesAPrivateStoreAndFindsItAgain) {
    const Store store = open_store();
    EXPECT_TRUE(store.path().starts_with(root_ + "/p-"));
    EXPECT_EQ(store.project(), project_);
    for (const std::string& path :
         {root_, store.path(), store.path() + "/worlds", store.path() + "/spans", store.path() + "/trash"})
        EXPECT_EQ(sys::stat_at(AT_FDCWD, path.c_str()).value()->stx_mode & 07777, 0700) << path;
    EXPECT_EQ(open_store().path(), store.path());
    const auto existing = Store::open_existing(store.path());
    ASSERT_TRUE(existing);
    EXPECT_EQ(existing->project(), project_);
    EXPECT_EQ(list_stores({base_ + "/nowhere", root_}).value(), std::vector{store.path()});
}

TEST_F(StoreTest, EachProjectHasAStoreOfItsOwn) {
    ASSERT_TRUE(sys::make_dirs(project_ + "/inner", 0755));
    const auto outer = Store::open({root_}, project_);
    const auto inner = Store::open({root_}, project_ + "/inner");
    ASSERT_TRUE(outer && inner);
    EXPECT_NE(outer->path(), inner->path());
}

TEST_F(StoreTest, KeepsOutOfTheProject) {
    const auto store =
        Store::open({project_, project_ + "/.substrate/overlay", base_ + "/project-beside", root_}, project_);
    ASSERT_TRUE(store) << store.error().describe();
    EXPECT_TRUE(store->path().starts_with(base_ + "/project-beside/")) << store->path();
    EXPECT_FALSE(exists(project_ + "/.substrate")) << "something was made in the project";
    const auto none = Store::open({project_ + "/a"}, project_);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code(), Errc::unsupported);
    EXPECT_NE(none.error().message().find("lies in the project"), std::string::npos)
        << none.error().message();
    EXPECT_FALSE(none.error().advice().empty());
}

TEST_F(StoreTest, TheFirstOfEqualRootsIsTaken) {
    const auto store = Store::open({base_ + "/one", base_ + "/two"}, project_);
    ASSERT_TRUE(store);
    EXPECT_TRUE(store->path().starts_with(base_ + "/one/"));
}

TEST_F(StoreTest, PrefersADiskToATmpfs) {
    std::string memory = "/dev/shm/substrate-store-test-XXXXXX";
    if (!is_tmpfs("/dev/shm") || is_tmpfs(base_) || ::mkdtemp(memory.data()) == nullptr)
        GTEST_SKIP() << "no tmpfs at /dev/shm beside a disk";
    const auto store = Store::open({memory + "/overlay", root_}, project_);
    EXPECT_TRUE(store && store->path().starts_with(root_));
    // A project in memory does not change that: captures must survive a restart.
    ASSERT_TRUE(sys::make_dirs(memory + "/project", 0755));
    const auto of_memory = Store::open({memory + "/overlay", root_}, memory + "/project");
    EXPECT_TRUE(of_memory && of_memory->path().starts_with(root_));
    EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, memory));
}

TEST_F(StoreTest, PrefersTheProjectsFileSystem) {
    std::string elsewhere = "/tmp/substrate-store-test-XXXXXX";
    ASSERT_NE(::mkdtemp(elsewhere.data()), nullptr);
    const auto here = sys::stat_at(AT_FDCWD, base_.c_str()).value().value();
    const auto there = sys::stat_at(AT_FDCWD, elsewhere.c_str()).value().value();
    const bool differ = sys::device_of(here) != sys::device_of(there);
    const auto store = Store::open({elsewhere + "/overlay", root_}, project_);
    const std::string path = store ? store->path() : store.error().message();
    EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, elsewhere));
    if (!differ) GTEST_SKIP() << "/tmp and /var/tmp are one file system";
    EXPECT_TRUE(path.starts_with(root_)) << path;
}

TEST_F(StoreTest, RefusesRootsThatOthersCanWrite) {
    ASSERT_TRUE(sys::make_dirs(base_ + "/open", 0700));
    for (const mode_t mode : {0770, 0702, 0777}) {
        ASSERT_EQ(::chmod((base_ + "/open").c_str(), mode), 0);
        const auto store = Store::open({base_ + "/open"}, project_);
        ASSERT_FALSE(store) << mode;
        EXPECT_NE(store.error().message().find("can be written by others"), std::string::npos);
    }
    const auto next = Store::open({base_ + "/open", root_}, project_);
    ASSERT_TRUE(next) << "the next root serves";
    EXPECT_TRUE(next->path().starts_with(root_));
}

TEST_F(StoreTest, RefusesRootsOfOthers) {
    std::string foreign = base_ + "/foreign";
    ASSERT_TRUE(sys::make_dirs(foreign, 0700));
    if (::geteuid() == 0) ASSERT_EQ(::chown(foreign.c_str(), 65534, 65534), 0);
    else foreign = "/var/lib";
    const auto store = Store::open({foreign}, project_);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message().find("belongs to uid"), std::string::npos) << store.error().message();
}

TEST_F(StoreTest, RefusesPlantedLinks) {
    ASSERT_TRUE(sys::make_dirs(base_ + "/target", 0700));
    ASSERT_EQ(::symlink((base_ + "/target").c_str(), (base_ + "/link").c_str()), 0);
    EXPECT_FALSE(Store::open({base_ + "/link"}, project_)) << "the root";
    // The store itself, where the root is ours: somebody knew its name.
    const std::string path = open_store().path();
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, path));
    ASSERT_EQ(::symlink((base_ + "/target").c_str(), path.c_str()), 0);
    EXPECT_FALSE(Store::open({root_}, project_));
    EXPECT_FALSE(Store::open_existing(path));
    EXPECT_EQ(listing(base_ + "/target"), "") << "nothing was written through the link";
}

TEST_F(StoreTest, AMissingProjectIsAnError) {
    EXPECT_FALSE(Store::open({root_}, base_ + "/nowhere"));
    EXPECT_FALSE(Store::open_existing(root_)) << "no project file";
    EXPECT_FALSE(exists(root_ + "/project"));
}

TEST_F(StoreTest, ManifestsComeBackAsTheyWere) {
    project_ = base_ + "/caf\xe9 \\x41 \n\xf0\x9f\x8d\xb5";
    ASSERT_TRUE(sys::make_dirs(project_, 0755));
    Store store = open_store();
    Manifest made = manifest(5, KeptState::interrupted);
    made.strategy = CaptureStrategy::copy_diff;
    made.user_xattrs = false;
    made.excluded = {"a\xff", "b\\n", "c/\xc3\xa4", ""};
    ASSERT_TRUE(store.save(made));
    const auto back = store.load(made.span_id);
    ASSERT_TRUE(back && *back);
    const Manifest& read_back = **back;
    EXPECT_EQ(read_back.span_id, made.span_id);
    EXPECT_EQ(read_back.project, project_);
    EXPECT_EQ(read_back.world_id, made.world_id);
    EXPECT_EQ(read_back.state, made.state);
    EXPECT_EQ(read_back.strategy, made.strategy);
    EXPECT_EQ(read_back.user_xattrs, made.user_xattrs);
    EXPECT_EQ(read_back.captured_ns, 5);
    EXPECT_EQ(read_back.settled_ns, 6);
    EXPECT_EQ(read_back.dir, made.dir);
    EXPECT_EQ(read_back.excluded, made.excluded);
    EXPECT_EQ(Store::open_existing(store.path()).value().project(), project_);
}

TEST_F(StoreTest, EveryStateHasItsWord) {
    Store store = open_store();
    for (const auto state : {KeptState::pending, KeptState::applying, KeptState::applied, KeptState::conflict,
                             KeptState::interrupted}) {
        const Manifest made = manifest(1, state);
        ASSERT_TRUE(store.save(made));
        EXPECT_EQ(store.load(made.span_id).value()->state, state) << to_string(state);
    }
}

TEST_F(StoreTest, SavingAgainReplaces) {
    Store store = open_store();
    Manifest made = manifest(1, KeptState::applying);
    ASSERT_TRUE(store.save(made));
    made.state = KeptState::applied;
    ASSERT_TRUE(store.save(made));
    ASSERT_EQ(store.list().value().size(), 1u);
    EXPECT_EQ(store.list().value()[0].state, KeptState::applied);
}

TEST_F(StoreTest, ListsByTimeAndLeavesOutWhatIsDamaged) {
    Store store = open_store();
    const Manifest late = manifest(30), early = manifest(10), middle = manifest(20);
    for (const Manifest* one : {&late, &early, &middle}) ASSERT_TRUE(store.save(*one));
    for (const char* text :
         {"", "{", "[]", "null", "{}", "{\"span_id\":\"spn_x\"}", "\xff\xfe", "{\"state\":7}"}) {
        const Manifest damaged = manifest(15);
        ASSERT_TRUE(store.save(damaged));
        write(store.path() + "/" + damaged.dir + "/manifest.json", text);
        EXPECT_FALSE(store.load(damaged.span_id)) << text;
    }
    ASSERT_TRUE(sys::make_dirs(store.path() + "/" + Store::span_dir(make_span_id(env_)),
                               0700));  // without a manifest
    write(store.path() + "/spans/not-a-span/manifest.json", "{}");
    write(store.path() + "/spans/file", "x");
    std::vector<std::int64_t> times;
    const auto all = store.list().value();
    for (const Manifest& one : all) times.push_back(one.captured_ns);
    EXPECT_EQ(times, (std::vector<std::int64_t>{10, 20, 30}));
}

TEST_F(StoreTest, SpanIdsThatAreNoIdsAreRefused) {
    const Store store = open_store();
    for (const char* id :
         {"", "..", "../../x", "spn_", "spn_../..", "wld_018f0000-0000-7000-8000-000000000001"})
        EXPECT_FALSE(store.load(id)) << id;
    EXPECT_FALSE(store.load(make_span_id(env_)).value()) << "unknown, but no error";
}

TEST_F(StoreTest, DiscardedThingsAreGoneAtOnceAndDeletedLater) {
    Store store = open_store();
    for (int round = 0; round < 3; ++round) {
        write(store.path() + "/worlds/w/deep/er/file", "x");
        ASSERT_EQ(::chmod((store.path() + "/worlds/w/deep/er").c_str(), 0), 0);
        ASSERT_TRUE(store.discard("worlds/w"));
        EXPECT_FALSE(exists(store.path() + "/worlds/w"));
    }
    Store other = Store::open_existing(store.path()).value();
    write(store.path() + "/worlds/v/file", "x");
    ASSERT_TRUE(other.discard("worlds/v")) << "names that are taken in the trash are skipped";
    EXPECT_TRUE(store.discard("worlds/never-was"));
    EXPECT_NE(listing(store.path() + "/trash"), "");
    store.empty_trash();
    EXPECT_EQ(listing(store.path() + "/trash"), "");
}

TEST_F(StoreTest, ALockMarksALivingWorld) {
    Store store = open_store();
    auto lock = store.make_world("wld_1", /*reuse=*/false);
    ASSERT_TRUE(lock);
    const auto again = sys::open_path(store.path() + "/worlds/wld_1/lock", O_RDWR);
    ASSERT_TRUE(again);
    EXPECT_FALSE(sys::try_lock(again->get()).value());
    EXPECT_FALSE(store.make_world("wld_1", /*reuse=*/false));
    lock->lock.reset();
    EXPECT_TRUE(sys::try_lock(again->get()).value());
}

TEST_F(StoreTest, AnEndedWorldsDirectoryServesTheNext) {
    Store store = open_store();
    const auto ended_world = [&](const std::string& id) {
        EXPECT_TRUE(store.make_world(id, /*reuse=*/false));
        const std::string slot = store.make_slot(id, 0, CaptureStrategy::overlay).value();
        Manifest mark = manifest(1);
        mark.dir = slot;
        EXPECT_TRUE(store.mark_capture(mark));
        return slot;
    };
    EXPECT_EQ(store.make_world("wld_0", /*reuse=*/true).value().slot, "") << "there is none yet";
    ASSERT_TRUE(store.keep_spare("wld_1", ended_world("wld_1")));
    EXPECT_FALSE(exists(store.path() + "/worlds/wld_1"));
    EXPECT_EQ(store.make_world("wld_2", /*reuse=*/false).value().slot, "") << "not asked for";

    const auto next = store.make_world("wld_3", /*reuse=*/true);
    ASSERT_TRUE(next) << next.error().message();
    EXPECT_EQ(next->slot, "worlds/wld_3/slots/0");
    EXPECT_TRUE(exists(store.path() + "/worlds/wld_3/slots/0/upper"));
    EXPECT_FALSE(store.marked_capture(next->slot).value()) << "no command has started in it";
    const auto worlds = store.lock_dead_worlds();
    ASSERT_TRUE(worlds);
    for (const Store::FoundWorld& found : *worlds) EXPECT_EQ(found.dead, found.id != "wld_3") << found.id;
    EXPECT_EQ(store.make_world("wld_4", /*reuse=*/true).value().slot, "") << "it is taken";
}

TEST_F(StoreTest, OnlyAnEmptyFirstSlotIsSpare) {
    Store store = open_store();
    const auto keeps = [&](const std::string& id, unsigned slot_number, const std::string& left_behind) {
        EXPECT_TRUE(store.make_world(id, /*reuse=*/false));
        const std::string slot = store.make_slot(id, slot_number, CaptureStrategy::overlay).value();
        if (!left_behind.empty()) write(store.path() + "/" + slot + left_behind, "x");
        EXPECT_TRUE(store.keep_spare(id, slot));
        EXPECT_FALSE(exists(store.path() + "/worlds/" + id));
        return exists(store.path() + "/spare");
    };
    EXPECT_FALSE(keeps("wld_1", 0, "/upper/file")) << "a command's change";
    EXPECT_FALSE(keeps("wld_2", 0, "/work/work")) << "a crashed overlay's mark";
    EXPECT_FALSE(keeps("wld_3", 1, "")) << "an earlier slot may be someone's";
    EXPECT_TRUE(store.make_world("wld_4", /*reuse=*/false));
    EXPECT_TRUE(store.keep_spare("wld_4", "")) << "its slot was used up";
    EXPECT_FALSE(exists(store.path() + "/spare"));
    EXPECT_TRUE(keeps("wld_5", 0, ""));
    EXPECT_TRUE(keeps("wld_6", 0, "")) << "one is enough";
}

TEST_F(StoreTest, ASpareDirectoryThatIsStillLockedWaits) {
    Store store = open_store();
    ASSERT_TRUE(store.make_world("wld_1", /*reuse=*/false));
    const std::string slot = store.make_slot("wld_1", 0, CaptureStrategy::overlay).value();
    ASSERT_TRUE(store.keep_spare("wld_1", slot));
    auto held = sys::open_path(store.path() + "/spare/lock", O_RDWR);
    ASSERT_TRUE(held);
    ASSERT_TRUE(sys::try_lock(held->get()).value());
    EXPECT_EQ(store.make_world("wld_2", /*reuse=*/true).value().slot, "");
    held->reset();
    EXPECT_EQ(store.make_world("wld_3", /*reuse=*/true).value().slot, "worlds/wld_3/slots/0");
}

TEST_F(StoreTest, SlotsHoldWhatTheirStrategyNeeds) {
    Store store = open_store();
    ASSERT_TRUE(store.make_world("wld_1", /*reuse=*/false));
    const auto names = [&](unsigned number, CaptureStrategy strategy) {
        const auto slot = store.make_slot("wld_1", number, strategy);
        EXPECT_TRUE(slot) << slot.error().message();
        std::string found;
        for (const char* name : {"/tree", "/upper", "/work"})
            if (exists(store.path() + "/" + *slot + name)) found += name;
        return found;
    };
    EXPECT_EQ(names(0, CaptureStrategy::overlay), "/upper/work");
    EXPECT_EQ(names(1, CaptureStrategy::fuse), "/upper/work");
    EXPECT_EQ(names(2, CaptureStrategy::copy_diff), "/tree");
    EXPECT_EQ(names(3, CaptureStrategy::direct), "");
    EXPECT_FALSE(store.make_slot("wld_1", 0, CaptureStrategy::overlay)) << "a slot is used once";
}

TEST_F(StoreTest, ForgettingMovesTheLimitForwardOnly) {
    Store store = open_store();
    EXPECT_EQ(store.forgotten_until_ns(), 0);
    const Manifest early = manifest(100), late = manifest(200);
    for (const Manifest* one : {&early, &late}) ASSERT_TRUE(store.save(*one));
    ASSERT_TRUE(store.forget(late));
    EXPECT_EQ(store.forgotten_until_ns(), 201);
    ASSERT_TRUE(store.forget(early));
    EXPECT_EQ(store.forgotten_until_ns(), 201);
    EXPECT_TRUE(store.list().value().empty());
    EXPECT_EQ(Store::open_existing(store.path()).value().forgotten_until_ns(), 201);
    write(store.path() + "/forgotten", "nonsense");
    EXPECT_EQ(store.forgotten_until_ns(), 0);
}

}  // namespace
}  // namespace substrate::supervisor
