#include "agent/request_check.hpp"

#include <gtest/gtest.h>

namespace substrate::agent {
namespace {

class RequestCheckTest : public ::testing::Test {
  protected:
    std::expected<Json, HttpResponse> read(const char* method, const char* path, std::string_view body,
                                           std::string_view type = "application/json",
                                           std::string_view query = {}) const {
        const Document::Found found = document_.find(method, path);
        EXPECT_NE(found.operation, nullptr) << path;
        return read_body(document_, *found.operation, query, type, body);
    }
    static std::string problem_of(const std::expected<Json, HttpResponse>& body) {
        if (body) return "none";
        const Json json = parse_json(body.error().body).value();
        return std::to_string(body.error().status) + " " + json.at("error").get<std::string>() + " " +
               json.value("pointer", "-");
    }
    const Document document_ = Document::parse(openapi_text()).value();
};

TEST_F(RequestCheckTest, TakesWhatTheDocumentDescribes) {
    EXPECT_EQ(read("POST", "/v1/execute", R"({"agent_id":"a","cmd":"x"})")->at("cmd"), "x");
    EXPECT_TRUE(
        read("POST", "/v1/execute", R"({"agent_id":"a","cmd":"x"})", "application/json ; charset=utf-8"));
    EXPECT_TRUE(read("POST", "/v1/execute", R"({"agent_id":"a","cmd":"x"})", ""));
    EXPECT_TRUE(read("GET", "/v1/worlds", "")->is_null());
    EXPECT_EQ(*read("POST", "/v1/gc", "", "text/plain"), Json::object());
}

TEST_F(RequestCheckTest, NamesWhatIsWrong) {
    EXPECT_EQ(problem_of(read("GET", "/v1/worlds", "", "", "all")), "400 invalid -");
    EXPECT_EQ(problem_of(read("GET", "/v1/worlds", "{}")), "400 invalid -");
    EXPECT_EQ(problem_of(read("POST", "/v1/execute", "{}", "text/plain")), "415 media_type -");
    EXPECT_EQ(problem_of(read("POST", "/v1/execute", "")), "400 invalid ");
    EXPECT_EQ(problem_of(read("POST", "/v1/execute", "{")), "400 invalid ");
    EXPECT_EQ(problem_of(read("POST", "/v1/execute", R"({"agent_id":"a","cmd":"x","more":1})")),
              "400 invalid /more");
    EXPECT_EQ(problem_of(read("POST", "/v1/execute", R"({"agent_id":7,"cmd":"x"})")),
              "400 invalid /agent_id");
}

// Before anything else of the body is looked at, wherever it is required.
TEST_F(RequestCheckTest, AsksWhoItIs) {
    for (const char* path : {"/v1/execute", "/v1/execute/stream", "/v1/worlds", "/v1/worlds/wld_1/fork",
                             "/v1/worlds/wld_1/snapshot"})
        EXPECT_EQ(problem_of(read("POST", path, R"({"nonsense":1})")), "400 agent_id_required /agent_id")
            << path;
    EXPECT_EQ(problem_of(read("POST", "/v1/worlds", R"({"agent_id":"a\u001b"})")),
              "400 agent_id_invalid /agent_id");
    EXPECT_TRUE(read("POST", "/v1/gc", R"({"dry_run":true})"));
}

}  // namespace
}  // namespace substrate::agent
