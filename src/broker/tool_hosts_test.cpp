#include "broker/tool_hosts.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "broker/broker_test_support.hpp"
#include "broker/shipped_policies.hpp"

namespace substrate::broker {
namespace {

class ToolHostsTest : public BrokerTest {
  protected:
    void SetUp() override {
        BrokerTest::SetUp();
        make_dir(root_ + "/machine");
        auto table = ToolTable::read("npm:\n  settings:\n    - {form: ini, files: [$HOME/.npmrc, " + root_ +
                                     "/machine/npmrc], keys: [registry]}\n"
                                     "  built_in:\n    - {form: quoted, files: [" +
                                     root_ +
                                     "/machine/npm.js], keys: ['default:']}\n"
                                     "apt:\n  settings:\n    - {form: words, files: [" +
                                     root_ + "/machine/*.list], keys: [deb]}\n");
        ASSERT_TRUE(table) << table.error().message();
        hosts_.emplace(std::move(*table), places_);
    }
    static void make_dir(const std::string& path) { ASSERT_EQ(::mkdir(path.c_str(), 0755), 0); }
    // "ENTRY SOURCE" of each.
    std::vector<std::string> hosts(const std::string& preset,
                                   const CommandReach& reach = {"/elsewhere", {}}) {
        std::vector<std::string> all;
        for (const policy::PresetHost& host : hosts_->read(reach)->hosts.at(preset))
            all.push_back(host.entry + " " + host.source);
        return all;
    }
    std::optional<ToolHosts> hosts_;
};
using Texts = std::vector<std::string>;

TEST_F(ToolHostsTest, AreThoseOfTheSettingsAndElseBuiltIn) {
    EXPECT_EQ(hosts("npm"), Texts());
    write(root_ + "/machine/npm.js", "default: 'https://usual.test/'");
    EXPECT_EQ(hosts("npm"), Texts{"usual.test:443 " + root_ + "/machine/npm.js"});
    const auto before = hosts_->read({"/elsewhere", {}})->fingerprint;
    write(places_.home + "/.npmrc", "registry=https://mine.test/\n");
    EXPECT_EQ(hosts("npm"), Texts{"mine.test:443 " + places_.home + "/.npmrc"});
    EXPECT_NE(hosts_->read({"/elsewhere", {}})->fingerprint, before);
    write(root_ + "/machine/npmrc", "registry=https://all.test/\n");
    EXPECT_EQ(hosts("npm").size(), 2U);
}

TEST_F(ToolHostsTest, AreReadFromEveryFileOfADirectory) {
    write(root_ + "/machine/a.list", "deb http://a.test/ x\n");
    EXPECT_EQ(hosts("apt"), Texts{"a.test:80 " + root_ + "/machine/a.list"});
    write(root_ + "/machine/b.list", "deb http://b.test/ x\n");
    EXPECT_EQ(hosts("apt").size(), 2U);
    ASSERT_EQ(::unlink((root_ + "/machine/a.list").c_str()), 0);
    EXPECT_EQ(hosts("apt"), Texts{"b.test:80 " + root_ + "/machine/b.list"});
}

TEST_F(ToolHostsTest, NothingThatACommandCanWriteCounts) {
    write(places_.home + "/.npmrc", "registry=https://mine.test/\n");
    EXPECT_EQ(hosts("npm", {places_.home, {}}), Texts()) << "the project is the home directory";
    EXPECT_EQ(hosts("npm", {"/elsewhere", {places_.home}}), Texts())
        << "the policy lets commands write there";
    EXPECT_EQ(hosts_->read({places_.home, {}})->ignored.size(), 1U);
    EXPECT_EQ(hosts("npm").size(), 1U);
    // By a link into the project.
    make_dir(root_ + "/mine");
    write(root_ + "/mine/npmrc", "registry=https://evil.test/\n");
    ASSERT_EQ(::unlink((places_.home + "/.npmrc").c_str()), 0);
    ASSERT_EQ(::symlink((root_ + "/mine/npmrc").c_str(), (places_.home + "/.npmrc").c_str()), 0);
    EXPECT_EQ(hosts("npm", {root_ + "/mine", {}}), Texts());
    EXPECT_EQ(hosts("npm").size(), 1U);
}

TEST_F(ToolHostsTest, NothingThatOthersCanWriteCounts) {
    write(places_.home + "/.npmrc", "registry=https://mine.test/\n");
    ASSERT_EQ(::chmod((places_.home + "/.npmrc").c_str(), 0666), 0);
    EXPECT_EQ(hosts("npm"), Texts());
    const auto read = hosts_->read({"/elsewhere", {}});
    ASSERT_EQ(read->ignored.size(), 1U);
    EXPECT_TRUE(read->ignored[0].contains("can be written by other accounts")) << read->ignored[0];
}

TEST(ToolTable, TheShippedOneKnowsEveryPresetOfTheShippedPolicies) {
    const auto table = ToolTable::read(shipped_tool_hosts());
    ASSERT_TRUE(table) << table.error().message();
    for (const char* name : {"npm", "pip", "cargo", "go", "apt", "github"})
        EXPECT_TRUE(std::ranges::any_of(table->tools, [&](const auto& tool) { return tool.name == name; }))
            << name;
    EXPECT_FALSE(ToolTable::read("npm:\n  settings:\n    - {form: none, files: [], keys: []}\n"));
}

}  // namespace
}  // namespace substrate::broker
