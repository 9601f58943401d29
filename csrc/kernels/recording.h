// The kernel calls of a step, kept as they are made, to be made again without the caller: the CPU's answer to CUDA
// graphs.
//
// A call is kept with its addresses and sizes, so whatever is to differ between replays must be read from memory, and
// that memory must stay where it was. Between `begin` and `end` a recording takes the calls of the thread that began
// it; they run at once as well.

#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/kernel_clock.h"

namespace quire {

class Recording {
 public:
  // REQUIRES: this thread records nothing yet.
  void begin() { current_ = this; }
  void end() { current_ = nullptr; }

  // All calls in their order. What one of them throws ends the replay.
  void replay() const {
    for (const auto& [kind, call] : calls_) KernelClock::run(kind, call);
  }

  size_t size() const { return calls_.size(); }

  template <class Call>
  static void run(KernelKind kind, Call call) {
    KernelClock::run(kind, call);
    if (current_ != nullptr) current_->calls_.emplace_back(kind, std::move(call));
  }

 private:
  static thread_local Recording* current_;
  std::vector<std::pair<KernelKind, std::function<void()>>> calls_;
};

}  // namespace quire
