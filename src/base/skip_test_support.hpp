#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace substrate::testing_support {

// Whether the list SUBSTRATE_TEST_REQUIRE names `feature`: a test that needs it may not
// be skipped. docs/testing.md has the names.
inline bool is_required(const std::string& feature) {
    const char* list = std::getenv("SUBSTRATE_TEST_REQUIRE");
    if (list == nullptr) return false;
    return ("," + std::string(list) + ",").find("," + feature + ",") != std::string::npos;
}

}  // namespace substrate::testing_support

// Ends the test when `reason`, a string, is not empty: skipped, or failed where the
// feature is required.
#define SUB_SKIP_WITHOUT(feature, reason)                                   \
    do {                                                                    \
        if (const std::string& sub_why = (reason); !sub_why.empty()) {      \
            if (::substrate::testing_support::is_required(feature))         \
                FAIL() << feature << " is required here, but: " << sub_why; \
            GTEST_SKIP() << "no " << feature << ": " << sub_why;            \
        }                                                                   \
    } while (0)
