#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "trace/writer.hpp"

namespace substrate::trace {

// A directory of its own for each test, removed afterwards.
class TraceTest : public ::testing::Test {
  public:
    TraceTest() {
        std::string name = ::testing::TempDir() + "substrate-trace-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "mkdtemp";
        root_ = name;
        dir_ = name + "/home";
    }
    ~TraceTest() override { std::filesystem::remove_all(root_); }

  protected:
    std::string path(const std::string& name = "trace.jsonl") const { return dir_ + "/" + name; }
    std::string content(const std::string& name = "trace.jsonl") const {
        std::ifstream in(path(name), std::ios::binary);
        std::ostringstream out;
        out << in.rdbuf();
        return out.str();
    }
    void put_raw(const std::string& bytes, const std::string& name = "trace.jsonl") const {
        std::filesystem::create_directories(dir_);
        std::ofstream(path(name), std::ios::binary | std::ios::app) << bytes;
    }
    TraceWriter writer(const WriterOptions& options = {}) const {
        auto opened = TraceWriter::open(dir_, options);
        if (!opened) throw std::runtime_error(opened.error().describe());
        return *std::move(opened);
    }
    static Span span(const std::string& id, const std::string& cmd = "true") {
        Span span;
        span.ts_ns = 1'700'000'000'000'000'000;
        span.session_id = "ses_1";
        span.span_id = id;
        span.cmd = cmd;
        return span;
    }
    static Event event(const std::string& type, Json fields = Json::object()) {
        return {.type = type, .ts_ns = 1, .session_id = "ses_1", .span_id = {}, .fields = std::move(fields)};
    }

    std::string root_;
    std::string dir_;
};

}  // namespace substrate::trace
