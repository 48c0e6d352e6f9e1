#pragma once

#include <string>
#include <vector>

#include "shell/console.hpp"

// One function for each `substrate policy` command; each returns the exit code. docs/policy.md
// says what they are for.
namespace substrate::shell {

struct PolicyShowOptions {
    std::string id;        // empty: what governs the working directory
    bool explain = false;  // where each value came from
    bool json = false;
};
int policy_show(const Console& console, const PolicyShowOptions& options);

struct PolicyValidateOptions {
    std::vector<std::string> files;  // empty: all that can be named, and the managed one
    bool json = false;
};
// 0, or 2 when something is wrong with one of them.
int policy_validate(const Console& console, const PolicyValidateOptions& options);

struct PolicyReloadOptions {
    bool json = false;
};
// 0, or 2 when what is there now is broken.
int policy_reload(const Console& console, const PolicyReloadOptions& options);

struct PolicyExplainOptions {
    std::string line;               // for a shell
    std::vector<std::string> argv;  // or: exactly this
    std::string cwd;                // empty: the working directory
    bool json = false;
};
// 0 when the command would run, else 126. Nothing runs.
int policy_explain(const Console& console, const PolicyExplainOptions& options);

struct WhyHostOptions {
    std::string host;  // HOST:PORT
    std::string cwd;   // empty: the working directory
    bool json = false;
};
// `substrate why host`: 0 when worlds may connect there, else 126.
int why_host(const Console& console, const WhyHostOptions& options);

struct WhySocketOptions {
    std::string path;
    std::string cwd;  // empty: the working directory
    bool json = false;
};
// `substrate why socket`: 0 when worlds are shown this Unix socket of the host, else 126.
int why_socket(const Console& console, const WhySocketOptions& options);

struct PolicyTestOptions {
    std::string file;
    std::string policy;  // an id or a file; empty: the table's, or what is in force
    bool json = false;
};
// 0, or 1 when a case fails; 2 for a table that cannot be read.
int policy_test(const Console& console, const PolicyTestOptions& options);

struct PolicyBacktestOptions {
    std::string since, session;  // empty: all
    std::string policy;          // an id or a file; empty: what is in force
    bool json = false;
};
// 0, or 1 when a decision would be another one.
int policy_backtest(const Console& console, const PolicyBacktestOptions& options);

struct PolicySuggestOptions {
    std::string session;
    std::string id = "suggested";
};
int policy_suggest(const Console& console, const PolicySuggestOptions& options);

struct PolicyTrustOptions {
    std::string directory;  // empty: the working directory
    bool revoke = false;
    bool list = false;
    bool yes = false;  // no question
    bool json = false;
};
int policy_trust(const Console& console, const PolicyTrustOptions& options);

struct PolicyApprovalsOptions {
    std::string revoke;  // an id
    bool revoke_all = false;
    std::string decide;    // what waits: its id
    std::string decision;  // "once", "session", "always" or "deny"
    bool json = false;
};
int policy_approvals(const Console& console, const PolicyApprovalsOptions& options);

}  // namespace substrate::shell
