#pragma once

#include <string_view>

namespace substrate {

// The protocol of this build. Another one on the other side is told apart at
// the first message; see message::kOtherVersion.
inline constexpr std::string_view kProtocolVersion = "1/" SUBSTRATE_VERSION;

namespace message {
// Client to agent. Each request carries "version".
inline constexpr std::string_view kExec = "exec";          // with three descriptors
inline constexpr std::string_view kSignal = "signal";      // "signal": number, to the running command
inline constexpr std::string_view kOutput = "output";      // answer to "ended"
inline constexpr std::string_view kCommit = "commit";      // answer to "ask_commit": "now": bool
inline constexpr std::string_view kApproval = "approval";  // "answer": a broker::Answer, or "nobody"
inline constexpr std::string_view kJudge = "judge";        // an exec without descriptors, to run on the host
// A shell that runs lines one after another, for as long as the connection lasts; see shell_session.hpp.
inline constexpr std::string_view kShellOpen = "shell_open";  // an exec, "columns", "rows"
inline constexpr std::string_view kShellLine = "shell_line";  // "cmd", "status"; with three descriptors
inline constexpr std::string_view kShellComplete = "shell_complete";  // "kind", "word": "words" in "done"
inline constexpr std::string_view kShellClose = "shell_close";        // answered by "done"
inline constexpr std::string_view kPolicyState = "policy_state";      // "cwd", "project"
inline constexpr std::string_view kPolicyReload = "policy_reload";    // look at the files now
// What waits at the other door, "approvals", and what agents have been granted for a time, "grants".
inline constexpr std::string_view kApprovals = "approvals";
inline constexpr std::string_view kRevokeGrant = "revoke_grant";  // "grant_id"
inline constexpr std::string_view kDecide = "decide";             // "approval_id", "decision", "token"
inline constexpr std::string_view kDiff = "diff";
inline constexpr std::string_view kApply = "apply";
inline constexpr std::string_view kDiscard = "discard";
inline constexpr std::string_view kStatus = "status";
inline constexpr std::string_view kWarm = "warm";
// "cwd" or "world", "port"; "end": no longer. Answered with the world's id.
inline constexpr std::string_view kPublish = "publish";
inline constexpr std::string_view kGc = "gc";
inline constexpr std::string_view kStop = "stop";
// Agent to client.
inline constexpr std::string_view kEnded = "ended";  // the command has; its output is asked for
// With the master of the terminal that the command was to get; it begins now.
inline constexpr std::string_view kTerminal = "terminal";
// With the master of its terminal: "session_id", "project", "world_id", "cwd", "policy_id", "mode",
// "pending".
inline constexpr std::string_view kShellOpened = "shell_opened";
// The line has passed the gate: "place", "shell" (on its terminal) or "world" (with the descriptors).
inline constexpr std::string_view kStarted = "started";
inline constexpr std::string_view kAskCommit = "ask_commit";
inline constexpr std::string_view kAskApproval =
    "ask_approval";  // "question"; without: whether one could be asked
inline constexpr std::string_view kDone = "done";
inline constexpr std::string_view kError = "error";
inline constexpr std::string_view kOtherVersion = "other_version";
}  // namespace message

}  // namespace substrate
