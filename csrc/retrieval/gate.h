// Many readers or one who changes what they see. Unlike std::shared_mutex, readers that keep coming cannot starve a
// writer: while one waits, new readers queue behind it.

#pragma once

#include <atomic>
#include <mutex>
#include <shared_mutex>

namespace quire::retrieval {

class Gate {
 public:
  void lock_shared() {
    if (is_writer_waiting_.load(std::memory_order_relaxed)) const std::lock_guard queue(queue_);
    readers_.lock_shared();
  }
  void unlock_shared() { readers_.unlock_shared(); }

  void lock() {
    queue_.lock();
    is_writer_waiting_.store(true, std::memory_order_relaxed);
    readers_.lock();
  }
  void unlock() {
    readers_.unlock();
    is_writer_waiting_.store(false, std::memory_order_relaxed);
    queue_.unlock();
  }

 private:
  std::shared_mutex readers_;
  std::mutex queue_;
  std::atomic<bool> is_writer_waiting_{false};
};

}  // namespace quire::retrieval
