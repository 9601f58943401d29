// Working memory that is not zeroed: what a kernel fills before it reads.

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace quire {

// 64-byte aligned, for the life of the object.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(bytes_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> bytes_;
};

enum class ScratchUse { kRows, kWeights };

// At least `bytes` of the calling thread's own, 64-byte aligned; valid until the thread asks for more for the same use.
std::byte* thread_scratch(int64_t bytes, ScratchUse use = ScratchUse::kRows);

}  // namespace quire
