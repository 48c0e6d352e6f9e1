#include <gtest/gtest.h>

#include <random>

#include "plan/plan_test_support.hpp"
#include "plan/wire.hpp"

namespace substrate::plan {
namespace {

using namespace test_support;

// A plan with every operation and no default value.
WorldPlan full_plan() {
    WorldPlan plan;
    plan.world_id = "wld_x";
    plan.hostname = std::string("h\0\xff\n", 4);
    plan.user_namespace = false;
    plan.uid_map = {{0, 1}, {4294967295u, 4294967295u}};
    plan.gid_map = {{7, 8}};
    plan.network = NetworkMode::host;
    plan.uplink = {.table = "substrate_1", .networks = {*IpNetwork::parse("10.0.0.0/8")}, .ipv6 = true};
    plan.network_name = "substrate-\xff";
    plan.seccomp = SeccompMode::log;
    plan.user_namespaces_inside = false;
    plan.mounts = {
        {WorldPath("/b"),
         Bind{.source = HostPath("/s\xfe"), .read_only = false, .optional = true, .device = true}},
        {WorldPath("/t"), Tmpfs{.mode = 0700, .size_bytes = ~std::uint64_t{0}, .read_only = true}},
        {WorldPath("/p"), Proc{}},
        {WorldPath("/v"), Devpts{}},
        {WorldPath("/m"), Mask{}},
        {WorldPath("/r"), ReadOnly{}},
        {WorldPath("/l"), Symlink{"../x"}},
        {WorldPath("/d"), Directory{.mode = 01777}},
    };
    plan.capture = {.strategy = CaptureStrategy::fuse,
                    .project = HostPath("/p"),
                    .project_device = 1,
                    .project_inode = ~std::uint64_t{0},
                    .store = HostPath("/store"),
                    .user_xattrs = false,
                    .fuse_program = "/usr/bin/f",
                    .masks = {WorldPath("/p/.ssh"), WorldPath("")}};
    plan.capture_record = {CaptureStrategy::direct, CaptureStrategy::copy_diff, "because"};
    plan.degradations = {{"capture", "reason", "fix"}, {"", "", ""}};
    return plan;
}

// Refused, or exactly what encode_plan writes for the plan that came out.
void expect_canonical(const std::string& bytes) {
    const auto plan = decode_plan(bytes);
    if (!plan) return;
    ASSERT_EQ(encode_plan(*plan), bytes);
}

TEST(PlanWire, ComesBackAsItWas) {
    const auto planned = plan_world(spec_for("/home/ada"), user_facts());
    ASSERT_TRUE(planned);
    for (const WorldPlan& plan : {full_plan(), WorldPlan{}, *planned}) {
        const auto back = decode_plan(encode_plan(plan));
        ASSERT_TRUE(back) << back.error().message();
        EXPECT_EQ(*back, plan);
    }
}

TEST(PlanWire, RefusesEveryTruncation) {
    const std::string bytes = encode_plan(full_plan());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const auto plan = decode_plan(std::string_view(bytes).substr(0, size));
        ASSERT_FALSE(plan) << size << " of " << bytes.size() << " bytes";
        ASSERT_EQ(plan.error().code(), Errc::invalid);
    }
}

TEST(PlanWire, RefusesWhatFollows) {
    const auto plan = decode_plan(encode_plan(full_plan()) + '\0');
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().message(), "malformed world plan");
}

TEST(PlanWire, NamesAnotherFormatAndAnotherVersion) {
    std::string bytes = encode_plan(full_plan());
    std::string version = bytes;
    version[4] = 99;
    EXPECT_EQ(decode_plan(version).error().message(), "world plan of version 99");
    bytes[0] ^= 1;
    EXPECT_EQ(decode_plan(bytes).error().message(), "not a world plan");
}

TEST(PlanWire, EveryChangedByteIsRefusedOrMeansSomethingElse) {
    const std::string bytes = encode_plan(full_plan());
    for (std::size_t at = 0; at < bytes.size(); ++at)
        for (const char value : {'\0', '\1', '\2', '\x7f', '\xff'}) {
            std::string changed = bytes;
            changed[at] = value;
            expect_canonical(changed);
        }
}

TEST(PlanWire, GarbageIsRefused) {
    std::mt19937 random(4711);
    const std::string head = encode_plan(WorldPlan{}).substr(0, 8);
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = round % 2 == 0 ? head : "";
        for (auto left = random() % 200; left > 0; --left)
            bytes += static_cast<char>(random() % 3 == 0 ? random() % 256 : random() % 3);
        expect_canonical(bytes);
    }
}

TEST(PlanWire, ALyingLengthCostsNothing) {
    WireWriter out;
    out.put(std::uint32_t{0xffffffff});
    const std::string length = out.take();
    WireReader text(length);
    EXPECT_TRUE(text.get_string().empty());
    EXPECT_TRUE(text.spoiled());
    const std::string more = length + "x";
    WireReader list(more);
    EXPECT_LE(list.get_strings().size(), 1u);
    EXPECT_FALSE(list.finish("list"));
}

TEST(WireReader, TheFirstMistakeSticks) {
    const std::string bytes("\x02\0\0\0abcd", 8);
    WireReader in(bytes);
    EXPECT_EQ(in.get_string(), "ab");
    EXPECT_EQ(in.get<std::uint64_t>(), 0u);
    EXPECT_EQ(in.get<std::uint8_t>(), 0u) << "nothing is read after a mistake";
    EXPECT_TRUE(in.spoiled());
    EXPECT_EQ(in.finish("thing").error().message(), "malformed thing");
}

TEST(WireReader, ABoolIsZeroOrOne) {
    for (const char value : {'\0', '\1', '\2', '\xff'}) {
        const std::string bytes(1, value);
        WireReader in(bytes);
        EXPECT_EQ(in.get<bool>(), value == '\1');
        EXPECT_EQ(in.finish("flag").has_value(), value == '\0' || value == '\1') << int{value};
    }
}

TEST(WireReader, AnEnumeratorIsAKnownOne) {
    for (const char value : {'\0', '\1', '\2', '\3', '\xff'}) {
        const std::string bytes(1, value);
        WireReader in(bytes);
        (void)in.get_enum(SeccompMode::off);
        EXPECT_EQ(in.finish("mode").has_value(), value >= 0 && value <= 2) << int{value};
    }
}

}  // namespace
}  // namespace substrate::plan
