// The policy's hot paths, with a loop over fnmatch(3) as the peer: what a list
// of glob rules costs when each is tried on the whole command line.
#include <benchmark/benchmark.h>
#include <fnmatch.h>

#include "codec/policy_yaml.hpp"
#include "policy/evaluate.hpp"

using namespace substrate;

namespace {

const policy::EvaluationContext kContext{.cwd = "/home/u/project", .home = "/home/u"};

std::vector<std::string> rules(std::int64_t count) {
    constexpr std::string_view kVerbs[] = {"push", "install", "delete",  "apply",
                                           "run",  "exec",    "publish", "deploy"};
    std::vector<std::string> made;
    for (std::int64_t i = 0; i < count; ++i) {
        const std::string n = std::to_string(i);
        const std::string verb(kVerbs[i % 8]);
        if (i % 3 == 0) made.push_back("tool" + n + " " + verb + " *");
        else if (i % 3 == 1) made.push_back("git " + verb + " origin branch-" + n + "*");
        else made.push_back("kubectl " + verb + " pod-" + n + " --force");
    }
    return made;
}

std::string compiled(std::int64_t count) {
    Policy made{.id = "bench"};
    made.commands.denied = rules(count);
    return policy::compile_policy(made, {}).value();
}

std::string yaml(std::int64_t count) {
    std::string text = "id: bench\ncommands:\n  denied:\n";
    for (const std::string& rule : rules(count)) text += "    - \"" + rule + "\"\n";
    return text;
}

// 60 bytes, different each time, as a person's lines are.
std::vector<std::string> lines() {
    std::vector<std::string> made;
    for (int i = 0; i < 2048; ++i) {
        std::string line = "git commit --quiet --message note-" + std::to_string(i) + " src/main.cpp ";
        line.resize(60, 'x');
        made.push_back(line);
    }
    return made;
}

void evaluate_line(benchmark::State& state) {
    const std::string bytes = compiled(state.range(0));
    const auto opened = policy::CompiledPolicy::open(bytes).value();
    const auto all = lines();
    std::size_t next = 0;
    for (auto _ : state)
        benchmark::DoNotOptimize(policy::evaluate(opened, all[next++ % all.size()], kContext));
}
BENCHMARK(evaluate_line)->Arg(100)->Arg(1'000)->Arg(10'000);

// The same with quotes and operators.
void evaluate_quoted(benchmark::State& state) {
    const std::string bytes = compiled(state.range(0));
    const auto opened = policy::CompiledPolicy::open(bytes).value();
    const std::string line = "cd src && git commit -q -m 'note number 17' main.cpp | tee log";
    for (auto _ : state) benchmark::DoNotOptimize(policy::evaluate(opened, line, kContext));
}
BENCHMARK(evaluate_quoted)->Arg(100)->Arg(1'000)->Arg(10'000);

// A line with a substitution, which the grammar reads too.
void evaluate_nested(benchmark::State& state) {
    const std::string bytes = compiled(state.range(0));
    const auto opened = policy::CompiledPolicy::open(bytes).value();
    const std::string line = "cd src && git commit -q -m \"note $(date)\" main.cpp | tee log";
    for (auto _ : state) benchmark::DoNotOptimize(policy::evaluate(opened, line, kContext));
}
BENCHMARK(evaluate_nested)->Arg(1'000);

void fnmatch_loop(benchmark::State& state) {
    const auto patterns = rules(state.range(0));
    const auto all = lines();
    std::size_t next = 0;
    for (auto _ : state) {
        const std::string& line = all[next++ % all.size()];
        bool hit = false;
        for (const std::string& pattern : patterns)
            hit = hit || fnmatch(pattern.c_str(), line.c_str(), 0) == 0;
        benchmark::DoNotOptimize(hit);
    }
}
BENCHMARK(fnmatch_loop)->Arg(100)->Arg(1'000)->Arg(10'000);

void quick_check(benchmark::State& state) {
    const std::string bytes = compiled(state.range(0));
    const auto opened = policy::CompiledPolicy::open(bytes).value();
    const std::vector<std::string> argv = {"/usr/bin/git", "commit",  "--quiet",
                                           "--message",    "note-17", "src/main.cpp"};
    for (auto _ : state) benchmark::DoNotOptimize(policy::quick_check(opened, argv, kContext));
}
BENCHMARK(quick_check)->Arg(100)->Arg(1'000)->Arg(10'000);

void load_yaml(benchmark::State& state) {
    const std::string text = yaml(state.range(0));
    for (auto _ : state) {
        const PolicyText read = parse_policy(text, "bench");
        benchmark::DoNotOptimize(policy::compile_policy(read.policy, {}));
    }
}
BENCHMARK(load_yaml)->Arg(1'000)->Arg(10'000)->Unit(benchmark::kMillisecond);

void open_cache(benchmark::State& state) {
    const std::string bytes = compiled(state.range(0));
    for (auto _ : state) benchmark::DoNotOptimize(policy::CompiledPolicy::open(bytes));
}
BENCHMARK(open_cache)->Arg(1'000)->Arg(10'000)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
