#include "shell/script.hpp"

#include <gtest/gtest.h>

#include "sys/file.hpp"

namespace substrate::shell {
namespace {

Result<std::string> read(const std::string& text) {
    return read_script(sys::make_memfd("script", text).value().get(), "the script");
}

TEST(Script, IsReadWhole) {
    EXPECT_EQ(read("").value(), "");
    EXPECT_EQ(read("echo a\necho b\n").value(), "echo a\necho b\n");
    EXPECT_EQ(read(std::string(kMaxScript, ' ')).value().size(), kMaxScript);
    EXPECT_FALSE(read(std::string(kMaxScript + 1, ' ')));
    EXPECT_FALSE(read(std::string("echo \0 a", 8)));
}

TEST(Script, SaysWhoseItIs) {
    for (const char* line :
         {"#!/bin/sh", "#! /bin/bash -e", "#!/usr/bin/env bash", "#!/usr/bin/env -S bash -u",
          "#!/usr/bin/env A=b dash", "# a comment", "#!/bin/bash"})
        EXPECT_TRUE(read(std::string(line) + "\ntrue\n")) << line;
    for (const char* line :
         {"#!/usr/bin/python3", "#!/usr/bin/env node", "#!/usr/bin/fish", "#!", "#!/bin/csh"})
        EXPECT_FALSE(read(std::string(line) + "\ntrue\n")) << line;
}

}  // namespace
}  // namespace substrate::shell
