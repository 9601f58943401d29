// How long the kernel calls of a thread took, by kind, replayed ones too: what a slow step is explained with.
//
// Between `begin` and `end` a clock takes the time of the calls of the thread that began it. A thread without one pays
// a look at a pointer.

#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <utility>

namespace quire {

// What a call is of a model: its products, its attention, writing the cache (with what is done to a row on its way
// there), and all that passes over rows once.
enum class KernelKind { kLinear, kAttention, kStore, kRows };
inline constexpr std::array kKernelKindNames{"linear", "attention", "store", "rows"};

class KernelClock {
 public:
  using Seconds = std::array<double, kKernelKindNames.size()>;

  // REQUIRES: this thread has no clock yet.
  void begin() { current_ = this; }
  void end() { current_ = nullptr; }

  // By kind, since it was last taken.
  Seconds take() { return std::exchange(spent_, {}); }

  template <class Call>
  static void run(KernelKind kind, const Call& call) {
    if (current_ == nullptr) return call();
    const auto begin = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
    current_->spent_[static_cast<size_t>(kind)] += spent.count();
  }

 private:
  static thread_local KernelClock* current_;
  Seconds spent_{};
};

}  // namespace quire
