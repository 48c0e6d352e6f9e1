#include "agent/budgets.hpp"

#include <algorithm>

namespace substrate::agent {

std::int64_t Budgets::used_ns(const Account& account, std::int64_t now) const {
    std::int64_t used = account.finished_ns;
    for (const Ticket* ticket : account.running)
        used += now - std::max(ticket->started_ns_, account.since_ns);
    return used;
}

void Budgets::drop_expired(std::int64_t now) {
    std::erase_if(accounts_, [&](const auto& entry) {
        return entry.second.running.empty() && now - entry.second.since_ns >= kWindowNs;
    });
}

Budgets::Account* Budgets::admit(const std::string& agent_id, const Budget& budget, Refusal& refusal) {
    const std::int64_t now = env_.monotonic_ns();
    auto it = accounts_.find(agent_id);
    if (it == accounts_.end()) {
        if (accounts_.size() >= kMostIds) drop_expired(now);
        if (accounts_.size() >= kMostIds) {
            refusal = {"agent_ids", kMostIds, kMostIds, kWindowNs / 1'000'000'000};
            return nullptr;
        }
        it = accounts_.emplace(agent_id, Account{.since_ns = now}).first;
    }
    Account& account = it->second;
    if (now - account.since_ns >= kWindowNs) {
        account.since_ns = now;
        account.execs = 0;
        account.finished_ns = 0;
    }
    const std::int64_t retry_s = (account.since_ns + kWindowNs - now + 999'999'999) / 1'000'000'000;
    if (budget.max_execs && account.execs >= *budget.max_execs) {
        refusal = {"max_execs", *budget.max_execs, account.execs, retry_s};
        return nullptr;
    }
    const std::int64_t used_ms = used_ns(account, now) / 1'000'000;
    if (budget.max_runtime_ms && used_ms >= *budget.max_runtime_ms) {
        refusal = {"max_runtime_ms", *budget.max_runtime_ms, used_ms, retry_s};
        return nullptr;
    }
    ++account.execs;
    return &account;
}

std::optional<Budgets::Refusal> Budgets::count_within(const std::string& agent_id, const Budget& budget) {
    const std::scoped_lock lock(mutex_);
    Refusal refusal;
    if (admit(agent_id, budget, refusal) == nullptr) return refusal;
    return std::nullopt;
}

Budgets::Entry Budgets::enter(const std::string& agent_id, const Budget& budget, std::function<void()> poke) {
    const std::scoped_lock lock(mutex_);
    Refusal refusal;
    Account* const account = admit(agent_id, budget, refusal);
    if (account == nullptr) return {nullptr, refusal};
    std::unique_ptr<Ticket> ticket(new Ticket(*this, agent_id, budget));
    ticket->started_ns_ = env_.monotonic_ns();
    ticket->poke_ = std::move(poke);
    for (const Ticket* other : account->running)
        if (other->poke_) other->poke_();
    account->running.push_back(ticket.get());
    return {std::move(ticket), {}};
}

Budgets::Ticket::~Ticket() {
    const std::scoped_lock lock(budgets_.mutex_);
    Account& account = budgets_.accounts_.at(agent_id_);
    const std::int64_t now = budgets_.env_.monotonic_ns();
    account.finished_ns += now - std::max(started_ns_, account.since_ns);
    account.running.remove(this);
    for (const Ticket* other : account.running)
        if (other->poke_) other->poke_();
}

void Budgets::Ticket::refund() {
    const std::scoped_lock lock(budgets_.mutex_);
    Account& account = budgets_.accounts_.at(agent_id_);
    account.execs = std::max<std::int64_t>(0, account.execs - 1);
}

std::optional<std::int64_t> Budgets::Ticket::left_ns() const {
    if (!budget_.max_runtime_ms) return std::nullopt;
    const std::scoped_lock lock(budgets_.mutex_);
    const Account& account = budgets_.accounts_.at(agent_id_);
    const std::int64_t most_ms = std::min(*budget_.max_runtime_ms, kWindowNs / 1'000'000 * 1'000);
    const std::int64_t left = most_ms * 1'000'000 - budgets_.used_ns(account, budgets_.env_.monotonic_ns());
    return std::max<std::int64_t>(0, left) / static_cast<std::int64_t>(account.running.size());
}

}  // namespace substrate::agent
