#include "codec/schema_check.hpp"

#include <gtest/gtest.h>

namespace substrate {
namespace {

constexpr const char* kDocument = R"(
components:
  schemas:
    Name: {type: string, minLength: 1, maxLength: 3, description: of somebody}
    Call:
      type: object
      required: [name]
      additionalProperties: false
      properties:
        name: {$ref: '#/components/schemas/Name'}
        count: {type: integer, minimum: 1, maximum: 9}
        ratio: {type: [number, "null"]}
        words: {type: array, maxItems: 2, items: {type: string, enum: [a, b]}}
        env: {type: object, maxProperties: 1, additionalProperties: {type: string}}
        a/b: {type: boolean}
)";

Json document() {
    auto yaml = parse_yaml(kDocument);
    EXPECT_TRUE(yaml) << yaml.error().message;
    return to_json(*yaml);
}

std::string broken(const char* value) {
    const Json all = document();
    auto breach = check_schema(all, {{"$ref", "#/components/schemas/Call"}}, Json::parse(value));
    if (!breach) return breach.error().message();
    return *breach ? (*breach)->pointer + " " + (*breach)->message : "";
}

TEST(SchemaCheck, WhatFitsPasses) {
    EXPECT_EQ(broken(R"({"name": "\u00e4\u00f6\u00fc"})"), "");
    EXPECT_EQ(broken(R"({"name":"x","count":9,"ratio":null,"words":["a","b"],"env":{"A":"b"},"a/b":true})"),
              "");
    EXPECT_EQ(broken(R"({"name":"x","ratio":1})"), "");
}

TEST(SchemaCheck, EachBreachIsNamedWhereItIs) {
    EXPECT_EQ(broken("[]"), " is not an object");
    EXPECT_EQ(broken("{}"), "/name is required");
    EXPECT_EQ(broken(R"({"name":1})"), "/name is not a string");
    EXPECT_EQ(broken(R"({"name":""})"), "/name has fewer than 1 characters");
    EXPECT_EQ(broken(R"({"name":"abcd"})"), "/name has more than 3 characters");
    EXPECT_EQ(broken(R"({"name":"x","nope":1})"), "/nope is not known");
    EXPECT_EQ(broken(R"({"name":"x","count":0})"), "/count is less than 1");
    EXPECT_EQ(broken(R"({"name":"x","count":10})"), "/count is more than 9");
    EXPECT_EQ(broken(R"({"name":"x","count":1.5})"), "/count is not an integer");
    EXPECT_EQ(broken(R"({"name":"x","ratio":"1"})"), "/ratio is not a number or null");
    EXPECT_EQ(broken(R"({"name":"x","words":["a","c"]})"), R"(/words/1 is none of ["a","b"])");
    EXPECT_EQ(broken(R"({"name":"x","words":["a","a","a"]})"), "/words has more than 2 items");
    EXPECT_EQ(broken(R"({"name":"x","env":{"A/~":1}})"), "/env/A~1~0 is not a string");
    EXPECT_EQ(broken(R"({"name":"x","env":{"A":"","B":""}})"), "/env has more than 1 members");
    EXPECT_EQ(broken(R"({"name":"x","a/b":1})"), "/a~1b is not a boolean");
}

TEST(SchemaCheck, WhatItDoesNotKnowIsNoPass) {
    const Json all = document();
    EXPECT_FALSE(check_schema(all, {{"pattern", "^a"}}, "a"));
    EXPECT_FALSE(check_schema(all, {{"$ref", "#/nowhere"}}, "a"));
    EXPECT_FALSE(check_schema(all, {{"$ref", "https://other"}}, "a"));
    EXPECT_FALSE(check_schema(all, true, "a"));
    const Json loop = {{"a", {{"$ref", "#/a"}}}};
    EXPECT_FALSE(check_schema(loop, {{"$ref", "#/a"}}, "a"));
}

TEST(SchemaCheck, YamlValuesAreReadByTheirForm) {
    const auto yaml = parse_yaml("{a: 1, b: '1', c: true, d: 1.5, e: x1, f: ~, g: [2], \"200\": q, h: -3}");
    ASSERT_TRUE(yaml) << yaml.error().message;
    EXPECT_EQ(to_json(*yaml),
              Json::parse(R"({"a":1,"b":"1","c":true,"d":1.5,"e":"x1","f":null,"g":[2],"200":"q","h":-3})"));
}

}  // namespace
}  // namespace substrate
