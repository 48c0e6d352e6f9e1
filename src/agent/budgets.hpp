#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/env.hpp"

namespace substrate::agent {

// What a call says that its agent id may have used.
struct Budget {
    std::optional<std::int64_t> max_execs;
    std::optional<std::int64_t> max_runtime_ms;
};

// How many commands each agent id has started, and for how long they have run, within an
// hour since its first. What happens at once is counted one after the other: of N calls that
// allow N-1, one is refused. Thread-safe; must outlive its tickets.
class Budgets {
  public:
    explicit Budgets(const Env& env) : env_(env) {}
    Budgets(const Budgets&) = delete;
    Budgets& operator=(const Budgets&) = delete;

    static constexpr std::int64_t kWindowNs = 3'600'000'000'000;
    static constexpr std::size_t kMostIds = 10'000;

    // One command that was let in, until it has ended.
    class Ticket {
      public:
        Ticket(const Ticket&) = delete;
        Ticket& operator=(const Ticket&) = delete;
        ~Ticket();
        // It never ran: it counts as no command.
        void refund();
        // How long it may still run when the others of its id that run now go on doing so;
        // nullopt: as long as it wants. Asked again after a poke.
        std::optional<std::int64_t> left_ns() const;

      private:
        friend class Budgets;
        Ticket(Budgets& budgets, std::string agent_id, Budget budget)
            : budgets_(budgets), agent_id_(std::move(agent_id)), budget_(budget) {}
        Budgets& budgets_;
        std::string agent_id_;
        Budget budget_;
        std::int64_t started_ns_ = 0;
        std::function<void()> poke_;
    };

    struct Refusal {
        std::string limit;  // "max_execs", "max_runtime_ms", "agent_ids"
        std::int64_t maximum = 0;
        std::int64_t used = 0;
        std::int64_t retry_after_s = 0;  // until the window ends
    };
    struct Entry {
        std::unique_ptr<Ticket> ticket;  // null: refused
        Refusal refusal;
    };
    // Counts one command that is about to run. `poke` is called, in another's thread, when
    // left_ns() has become less or more than time alone explains.
    Entry enter(const std::string& agent_id, const Budget& budget, std::function<void()> poke);
    // Counts one command that runs within another of the same agent id, whose time is its time as well. A
    // refusal: it must not run.
    std::optional<Refusal> count_within(const std::string& agent_id, const Budget& budget);

  private:
    struct Account {
        std::int64_t since_ns = 0;
        std::int64_t execs = 0;
        std::int64_t finished_ns = 0;  // running time of those that have ended
        std::list<Ticket*> running;
    };
    // Under the lock: the account, with one command more. Null: `refusal` says why not.
    Account* admit(const std::string& agent_id, const Budget& budget, Refusal& refusal);
    std::int64_t used_ns(const Account& account, std::int64_t now) const;
    void drop_expired(std::int64_t now);

    const Env& env_;
    mutable std::mutex mutex_;
    std::map<std::string, Account> accounts_;
};

}  // namespace substrate::agent
