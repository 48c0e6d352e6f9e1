#pragma once

#include "broker/approval_question.hpp"

namespace substrate::broker::test_support {

inline ApprovalQuestion simple_question() {
    ApprovalQuestion question;
    question.command = "git push --force";
    question.parts = {"git push --force"};
    question.reason = "pushing needs approval";
    question.rule = "approval.require[0]";
    question.pattern = "git push *";
    question.policy_id = "default";
    question.directory = "/home/ann/project";
    question.scope_pattern = "git push --force";
    return question;
}

}  // namespace substrate::broker::test_support
