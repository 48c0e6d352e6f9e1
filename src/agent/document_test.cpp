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

// Each keyword of a schema and of the schemas in it.
void expect_known_keywords(const Json& document, const Json& schema, const std::string& where,
                           int depth = 0) {
    ASSERT_LT(depth, 16) << where;
    for (const auto& [word, rule] : schema.items()) {
        const auto checked = check_schema(document, {{word, rule}}, nullptr);
        EXPECT_TRUE(checked) << where << "/" << word;
        if (word == "$ref")
            expect_known_keywords(document,
                                  document.at(Json::json_pointer(rule.get<std::string>().substr(1))),
                                  where + "/$ref", depth + 1);
        if (word == "items" || (word == "additionalProperties" && rule.is_object()))
            expect_known_keywords(document, rule, where + "/" + word, depth + 1);
        if (word == "properties")
            for (const auto& [name, member] : rule.items())
                expect_known_keywords(document, member, where + "/" + name, depth + 1);
    }
}

// A schema with a keyword that is not checked would let through what it forbids.
TEST(Document, EveryBodysSchemaIsUnderstood) {
    const Document document = shipped();
    int bodies = 0;
    for (const auto& [path, item] : document.json().at("paths").items()) {
        const auto found = document.find("POST", path);
        if (found.operation == nullptr) continue;
        ASSERT_NE(found.operation->body, nullptr) << path;
        expect_known_keywords(document.json(), *found.operation->body, path);
        ++bodies;
    }
    EXPECT_GE(bodies, 6);
}

TEST(Document, WhatCannotBeUsedIsNamed) {
    EXPECT_FALSE(Document::parse("a: ["));
    EXPECT_FALSE(Document::parse("a: 1"));
    EXPECT_FALSE(Document::parse("paths: {/x: {get: {}}}"));
    EXPECT_FALSE(Document::parse("paths: {/x: {post: {operationId: x, requestBody: {content: {}}}}}"));
}

}  // namespace
}  // namespace substrate::agent
