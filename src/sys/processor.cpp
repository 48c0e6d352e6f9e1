#include "sys/processor.hpp"

namespace substrate::sys {

ProcessorApart::ProcessorApart(pid_t pid) : pid_(pid) {
    cpu_set_t ours;
    const int here = ::sched_getcpu();
    if (here < 0 || ::sched_getaffinity(0, sizeof ours, &ours) != 0 || CPU_COUNT(&ours) < 2) return;
    cpu_set_t others = ours;
    CPU_CLR(static_cast<std::size_t>(here), &others);
    if (::sched_setaffinity(pid, sizeof others, &others) == 0) ours_ = ours;
}

}  // namespace substrate::sys
