#include "agent/stream_frames.hpp"

#include <gtest/gtest.h>

#include "agent/document.hpp"
#include "agent/output_ring.hpp"

namespace substrate::agent {
namespace {

class StreamFrames : public ::testing::Test {
  protected:
    StreamFrames() : document_(Document::parse(openapi_text()).value()) {}
    auto read(std::string_view text) { return read_client_frame(document_.json(), text); }
    std::string pointer_of(std::string_view text) {
        const auto frame = read(text);
        if (frame) return "taken";
        return frame.error().value("pointer", "no pointer");
    }

  private:
    Document document_;
};

TEST_F(StreamFrames, EveryKindIsRead) {
    for (const char* text :
         {R"({"type":"start","agent_id":"a","cmd":"true","cols":1,"rows":10000,"detach":true})",
          R"({"type":"start","agent_id":"a","persistent":true})",
          R"({"type":"start","agent_id":"a","session":"ses_x","received":0})",
          R"({"type":"stdin","data_b64":"YQA="})", R"({"type":"resize","cols":80,"rows":24})",
          R"({"type":"signal","signal":"TSTP"})", R"({"type":"close"})",
          R"({"type":"exec","seq":0,"cmd":"a\nb"})"}) {
        const auto frame = read(text);
        ASSERT_TRUE(frame) << text << dump_json(frame.error());
        EXPECT_EQ(frame->body["type"], frame->type);
        if (frame->type == "stdin") {
            EXPECT_EQ(frame->input, std::string("a\0", 2));
        }
    }
}

TEST_F(StreamFrames, WhatIsNotDescribedIsRefusedByItsPlace) {
    EXPECT_EQ(pointer_of(""), "");
    EXPECT_EQ(pointer_of("7"), "");
    EXPECT_EQ(pointer_of("{}"), "/type");
    EXPECT_EQ(pointer_of(R"({"type":7})"), "/type");
    EXPECT_EQ(pointer_of(R"({"type":"ready"})"), "/type");
    EXPECT_EQ(pointer_of(R"({"type":"close","now":true})"), "/now");
    EXPECT_EQ(pointer_of(R"({"type":"resize","cols":80})"), "/rows");
    EXPECT_EQ(pointer_of(R"({"type":"resize","cols":80,"rows":65536})"), "/rows");
    EXPECT_EQ(pointer_of(R"({"type":"resize","cols":80,"rows":1.5})"), "/rows");
    EXPECT_EQ(pointer_of(R"({"type":"signal","signal":"STOP"})"), "/signal");
    EXPECT_EQ(pointer_of(R"({"type":"stdin","data_b64":"*"})"), "/data_b64");
    EXPECT_EQ(pointer_of(R"({"type":"exec","seq":-1,"cmd":"a"})"), "/seq");
    EXPECT_EQ(pointer_of("{\"type\":\"exec\",\"seq\":1,\"cmd\":\"a\\u0000b\"}"), "/cmd");
    EXPECT_EQ(pointer_of(R"({"type":"start","cmd":"a"})"), "/agent_id");
    EXPECT_EQ(pointer_of(R"({"type":"start","agent_id":"a"})"), "");
    EXPECT_EQ(pointer_of(R"({"type":"start","agent_id":"a","persistent":false})"), "");
    EXPECT_EQ(pointer_of(R"({"type":"start","agent_id":"a","cmd":"b","session":"ses_x"})"), "");
}

TEST_F(StreamFrames, AProblemBecomesAFrame) {
    const Json frame = error_frame(HttpResponse{
        .status = 403, .body = R"({"title":"F","status":403,"error":"denied","message":"m","rule":"r"})"});
    EXPECT_EQ(frame, Json({{"type", "error"}, {"error", "denied"}, {"message", "m"}, {"rule", "r"}}));
}

TEST(OutputRing, KeepsTheEndAndCountsWhatIsLost) {
    OutputRing ring;
    EXPECT_EQ(ring.after(0).bytes, "");
    ring.append("abc");
    EXPECT_EQ(ring.after(1).bytes, "bc");
    EXPECT_EQ(ring.after(1).lost, 0U);
    EXPECT_EQ(ring.after(9).bytes, "");
    for (int i = 0; i < 40; ++i) ring.append(std::string(100'000, static_cast<char>('a' + i % 26)));
    EXPECT_EQ(ring.total(), 4'000'003U);
    EXPECT_EQ(ring.after(0).bytes.size(), OutputRing::kMost);
    EXPECT_EQ(ring.after(0).lost, 4'000'003U - OutputRing::kMost);
    EXPECT_EQ(ring.after(0).bytes.back(), 'n');
    EXPECT_EQ(ring.after(4'000'001).bytes, "nn");
    ring.append(std::string(3 << 20, 'z'));
    EXPECT_EQ(ring.after(0).bytes, std::string(OutputRing::kMost, 'z'));
}

}  // namespace
}  // namespace substrate::agent
