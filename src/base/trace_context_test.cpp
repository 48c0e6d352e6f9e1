#include "base/trace_context.hpp"

#include <gtest/gtest.h>

namespace substrate {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00f067aa0ba902b7";
const std::string kGood = "00-" + kTrace + "-" + kParent + "-01";

TEST(TraceContext, ReadsVersion00) {
    EXPECT_EQ(read_traceparent(kGood), kGood);
    EXPECT_EQ(read_traceparent("00-" + kTrace + "-" + kParent + "-00"),
              "00-" + kTrace + "-" + kParent + "-00");
}

TEST(TraceContext, PassesOnKnownFlagsOnly) {
    EXPECT_EQ(read_traceparent("00-" + kTrace + "-" + kParent + "-ff"),
              "00-" + kTrace + "-" + kParent + "-03");
}

TEST(TraceContext, ReadsWhatLaterVersionsHaveOf00) {
    EXPECT_EQ(read_traceparent("cc-" + kTrace + "-" + kParent + "-01"), kGood);
    EXPECT_EQ(read_traceparent("cc-" + kTrace + "-" + kParent + "-01-what.the.future.says"), kGood);
    EXPECT_FALSE(read_traceparent("cc-" + kTrace + "-" + kParent + "-01.what"));
}

TEST(TraceContext, RefusesWhatIsNone) {
    const std::string zeros(32, '0');
    std::string upper = kGood;
    upper[4] = 'B';
    for (const std::string& text :
         {std::string(), std::string("00"), kGood.substr(0, 54), kGood + "-x", kGood + " ", " " + kGood,
          upper, "ff-" + kTrace + "-" + kParent + "-01", "00-" + zeros + "-" + kParent + "-01",
          "00-" + kTrace + "-" + zeros.substr(16) + "-01", "0g-" + kTrace + "-" + kParent + "-01",
          "00-" + kTrace + "_" + kParent + "-01", "00-" + kTrace + "-" + kParent + "-0x",
          "00-" + kTrace.substr(1) + "\n-" + kParent + "-01"})
        EXPECT_FALSE(read_traceparent(text)) << text;
}

TEST(TraceContext, ASpanIsTheParentOfWhatItCalls) {
    EXPECT_EQ(traceparent_of_span(kGood, "spn_01a205be-4245-7085-bc9d-4d2b227e6740"),
              "00-" + kTrace + "-bc9d4d2b227e6740-01");
    // Still one that can be read.
    EXPECT_TRUE(read_traceparent(traceparent_of_span(kGood, "spn_00000000-0000-7000-8000-000000000000")));
}

}  // namespace
}  // namespace substrate
