#include "policy/tool_settings.hpp"

#include <gtest/gtest.h>

namespace substrate::policy {
namespace {

using Texts = std::vector<std::string>;

TEST(ToolSettings, Npm) {
    const SettingsQuery query{SettingsForm::ini, {"registry", "*:registry"}};
    EXPECT_EQ(hosts_in_settings(
                  "; registry=https://no.test\n#registry=https://no.test/\nfund=false\n"
                  "registry = \"https://Registry.test/npm/\"\n@mine:registry=http://u:p@mine.test:4873/\n"
                  "//mine.test:4873/:_authToken=https://secret.test/\nproxy=http://proxy.test/\n",
                  query),
              (Texts{"registry.test:443", "mine.test:4873"}));
}

TEST(ToolSettings, Pip) {
    const SettingsQuery query{SettingsForm::ini, {"*.index-url", "*.extra-index-url"}};
    EXPECT_EQ(hosts_in_settings("[global]\nindex-url = https://index.test/simple\nextra-index-url =\n"
                                "    https://one.test/simple\n    http://two.test:81/?a=b\ntimeout = 3\n"
                                "[install]\nextra-index-url=https://one.test/\n",
                                query),
              (Texts{"index.test:443", "one.test:443", "two.test:81"}));
}

TEST(ToolSettings, GitAndCargoAndGo) {
    const SettingsQuery git{SettingsForm::ini, {"credential", "url", "remote.*.url"}};
    EXPECT_EQ(hosts_in_settings(
                  "[credential \"https://git.test\"]\n\thelper = store\n[url \"ssh://git@ssh.test:2222/\"]\n"
                  "\tinsteadOf = https://old.test/\n[remote \"origin\"]\n\turl = git@scp.test:me/it.git\n"
                  "\tpushurl = https://push.test/\n[core]\n\turl = https://core.test/\n",
                  git),
              (Texts{"git.test:443", "ssh.test:2222", "scp.test:22"}));
    const SettingsQuery cargo{SettingsForm::ini, {"registries.*.index", "source.*.registry"}};
    EXPECT_EQ(hosts_in_settings("[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\n"
                                "registry = \"sparse+https://crates.test/index/\"\n",
                                cargo),
              Texts{"crates.test:443"});
    const SettingsQuery go{SettingsForm::ini, {"GOPROXY", "GOSUMDB"}, true};
    EXPECT_EQ(
        hosts_in_settings(
            "GOPROXY=https://proxy.test,http://second.test|direct\nGOSUMDB=sum.test\nGONOSUMDB=no.test\n",
            go),
        (Texts{"proxy.test:443", "second.test:80", "sum.test:443"}));
}

TEST(ToolSettings, AptAndGhAndWhatIsBuiltIn) {
    EXPECT_EQ(hosts_in_settings("# deb http://no.test/ x\ndeb [arch=amd64 signed-by=/a] "
                                "http://deb.test/debian stable main # http://no.test/\n"
                                "deb-src http://deb.test/debian stable main\nother http://other.test/\n",
                                {SettingsForm::words, {"deb", "deb-src"}}),
              Texts{"deb.test:80"});
    EXPECT_EQ(hosts_in_settings("Types: deb\nURIs: http://one.test/debian\n https://two.test/debian\n#URIs: "
                                "http://no.test\nSuites: http://no.test\n",
                                {SettingsForm::fields, {"URIs"}}),
              (Texts{"one.test:80", "two.test:443"}));
    EXPECT_EQ(hosts_in_settings("git.test:\n    user: https://no.test/\n    hosts.test:\n",
                                {SettingsForm::names, {"name"}, true}),
              Texts{"git.test:443"});
    EXPECT_EQ(hosts_in_settings(
                  "x = 'https://no.test/'\nregistry: new D('registry', {\n  default: 'https://in.test/',\n})",
                  {SettingsForm::quoted, {"new D('registry'"}}),
              Texts{"in.test:443"});
}

TEST(ToolSettings, OpensNothingThatIsNoPublicHost) {
    const SettingsQuery query{SettingsForm::ini, {"*"}, true};
    for (const char* value : {"http://127.0.0.1:4873/",
                              "http://10.0.0.1/",
                              "http://[::1]/",
                              "http://169.254.169.254/",
                              "http://*/",
                              "http://*.test/",
                              "*",
                              "*.test",
                              "http://127.1/",
                              "file:///etc/passwd",
                              "http://",
                              "http:///x",
                              "https://a..b/",
                              "http://a.test:0/",
                              "http://a.test:70000/",
                              "javascript://x.test/",
                              "http://evil.test\\@good.test:x/",
                              "preset:npm",
                              "0.0.0.0/0",
                              "https://0.0.0.0/",
                              "localhost"})
        EXPECT_EQ(hosts_in_settings(std::string("a=") + value, query), Texts()) << value;
    EXPECT_EQ(hosts_in_settings("a=https://8.8.8.8/", query), Texts{"8.8.8.8:443"});
    EXPECT_EQ(hosts_in_settings("a=https://user:pass@good.test/", query), Texts{"good.test:443"});
    // Whom the tool itself would ask: the userinfo ends at the last '@'.
    EXPECT_EQ(hosts_in_settings("a=https://evil.test@good.test/@x.test", query), Texts{"good.test:443"});
}

}  // namespace
}  // namespace substrate::policy
