#include "agent/worker_pool.hpp"

namespace substrate::agent {

bool WorkerPool::post(std::function<void()> task) {
    {
        const std::scoped_lock lock(mutex_);
        if (closed_) return false;
        const bool at_once = tasks_.size() < idle_;
        if (!at_once && threads_.size() >= most_threads_ && tasks_.size() >= most_waiting_) return false;
        tasks_.push_back(std::move(task));
        if (!at_once && threads_.size() < most_threads_) threads_.emplace_back([this] { work(); });
    }
    news_.notify_one();
    return true;
}

void WorkerPool::work() {
    for (;;) {
        std::function<void()> task;
        {
            std::unique_lock lock(mutex_);
            ++idle_;
            news_.wait(lock, [this] { return closed_ || !tasks_.empty(); });
            --idle_;
            if (tasks_.empty()) return;
            task = std::move(tasks_.front());
            tasks_.pop_front();
        }
        task();
    }
}

void WorkerPool::close() {
    std::vector<std::jthread> threads;
    {
        const std::scoped_lock lock(mutex_);
        closed_ = true;
        threads.swap(threads_);
    }
    news_.notify_all();
    threads.clear();
}

std::size_t WorkerPool::waiting() const {
    const std::scoped_lock lock(mutex_);
    return tasks_.size();
}

std::size_t WorkerPool::running() const {
    const std::scoped_lock lock(mutex_);
    return threads_.size() - idle_;
}

}  // namespace substrate::agent
