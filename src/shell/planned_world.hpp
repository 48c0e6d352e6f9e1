#pragma once

#include "broker/broker.hpp"
#include "model/exec.hpp"
#include "plan/world_plan.hpp"
#include "shell/console.hpp"

namespace substrate::shell {

// The world that a command would get, and why; nothing is made and nothing runs.
struct PlannedWorld {
    broker::Judgement judgement;
    ExecRequest request;  // as the policies leave it
    plan::WorldPlan plan;
};
Result<PlannedWorld> planned_world(const Console& console, const ExecRequest& asked);

}  // namespace substrate::shell
