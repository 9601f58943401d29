#include "kernels/scratch.h"

#include <new>

namespace quire {

namespace {
constexpr std::align_val_t kAlignment{64};
}

Scratch::Scratch(int64_t bytes)
    : bytes_(bytes > 0 ? static_cast<std::byte*>(::operator new(bytes, kAlignment)) : nullptr) {}

void Scratch::Free::operator()(std::byte* p) const { ::operator delete(p, kAlignment); }

std::byte* thread_scratch(int64_t bytes, ScratchUse use) {
  struct Buffer {
    int64_t size = 0;
    Scratch scratch{0};
  };
  thread_local Buffer buffers[2];
  Buffer& buffer = buffers[static_cast<int>(use)];
  if (buffer.size < bytes) {
    buffer.scratch = Scratch(bytes);
    buffer.size = bytes;
  }
  return buffer.scratch.as<std::byte>();
}

}  // namespace quire
