#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "broker/approvals.hpp"

// The text of the file of approvals:
//
//     version: 1
//     approvals:
//       - id: "apr_018f…"
//         policy_id: "default"
//         policy_hash: "sha256:…"
//         directory: "/home/ann/project"
//         pattern: "git push"
//         at: "2026-11-22T02:42:00.000000000Z"
//
// All keys are required and no others are known; every text is in double quotes. Directory
// and pattern are escape_bytes of base/text.hpp inside those quotes, so that they may hold any
// bytes. What we write is ASCII without control characters: it looks like what it is.
namespace substrate::broker {

inline constexpr std::size_t kMaxApprovalsFile = 8u << 20;  // bytes

// Empty for a scope that may be kept, else what is wrong with it.
std::string problem_of(const ApprovalScope& scope);

// Errc::invalid, "FILE:LINE: what", for any other text than such a one. An id or a scope that
// is there twice is an error too. `file` is only for messages.
Result<std::vector<Approval>> parse_approvals(std::string_view text, std::string_view file);

// The inverse, for scopes without problems.
std::string format_approvals(const std::vector<Approval>& approvals);

}  // namespace substrate::broker
