#include "agent/document.hpp"

#include <gtest/gtest.h>

#include "codec/schema_check.hpp"

namespace substrate::agent {
namespace {

Document shipped() {
    auto document = Document::parse(openapi_text());
    EXPECT_TRUE(document) << document.error().message();
    return std::move(*document);
}

TEST(Document, FindsOperationsByPathAndMethod) {
    const Document document = shipped();
    const auto trace = document.find("GET", "/v1/trace/spn_1");
    ASSERT_NE(trace.operation, nullptr);
    EXPECT_EQ(trace.operation->id, "trace");
    EXPECT_EQ(trace.parameter, "spn_1");
    EXPECT_EQ(trace.operation->body, nullptr);
    const auto execute = document.find("POST", "/v1/execute");
    ASSERT_NE(execute.operation, nullptr);
    EXPECT_TRUE(execute.operation->body_required);
    const auto wrong = document.find("DELETE", "/v1/execute");
    EXPECT_TRUE(wrong.known);
    EXPECT_EQ(wrong.operation, nullptr);
    EXPECT_EQ(wrong.allow, "POST");
    for (const char* path : {"", "/", "/v1", "/v1/", "/v1/execute/", "/v1/trace/", "/v1/trace/a/b",
                             "//v1/execute", "/V1/execute", "/v1/execute/nothing", "v1/execute"})
        EXPECT_FALSE(document.find("GET", path).known) << path;
}

// A schema with a keyword that is not checked would let through what it forbids.
TEST(Document, EveryBodysSchemaIsUnderstood) {
    const Document document = shipped();
    for (const char* path : {"/v1/gc", "/v1/execute", "/v1/execute/stream", "/v1/execute/cancel"}) {
        const auto found = document.find("POST", path);
        ASSERT_NE(found.operation, nullptr);
        ASSERT_NE(found.operation->body, nullptr);
        const Json full = {{"agent_id", "a"},     {"cmd", "x"},      {"cwd", "/"},
                           {"env", {{"A", "b"}}}, {"stdin_b64", ""}, {"budget", {{"max_execs", 1}}},
                           {"timeout_ms", 1},     {"isolate", true}, {"dry_run", true},
                           {"span_id", "a"},      {"signal", "TERM"}};
        const auto checked = check_schema(document.json(), *found.operation->body, full);
        EXPECT_TRUE(checked) << path << ": " << checked.error().message();
    }
}

TEST(Document, WhatCannotBeUsedIsNamed) {
    EXPECT_FALSE(Document::parse("a: ["));
    EXPECT_FALSE(Document::parse("a: 1"));
    EXPECT_FALSE(Document::parse("paths: {/x: {get: {}}}"));
    EXPECT_FALSE(Document::parse("paths: {/x: {post: {operationId: x, requestBody: {content: {}}}}}"));
}

}  // namespace
}  // namespace substrate::agent
