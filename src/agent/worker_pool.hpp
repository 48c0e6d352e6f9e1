#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace substrate::agent {

// Threads that wait for commands so that the server's need not. They are made as they are needed
// and live as long as the pool: a world ends with the thread that started it.
class WorkerPool {
  public:
    // At most `threads` tasks run at once, at most `waiting` more are taken.
    WorkerPool(std::size_t threads, std::size_t waiting) : most_threads_(threads), most_waiting_(waiting) {}
    ~WorkerPool() { close(); }
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    // Tasks start in the order they come. False: too many wait already, or the pool is closed.
    bool post(std::function<void()> task);
    // Waits until every task that was taken is done, and ends the threads.
    void close();
    std::size_t waiting() const;
    std::size_t running() const;

  private:
    void work();

    const std::size_t most_threads_;
    const std::size_t most_waiting_;
    mutable std::mutex mutex_;
    std::condition_variable news_;
    std::deque<std::function<void()>> tasks_;
    std::vector<std::jthread> threads_;
    std::size_t idle_ = 0;
    bool closed_ = false;
};

}  // namespace substrate::agent
