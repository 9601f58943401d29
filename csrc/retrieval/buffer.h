// A growing array of plain values in 16 bytes, or a view of an array that lies elsewhere until the first append copies
// it.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace quire::retrieval {

template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  // A view: `values` must outlive it.
  explicit Buffer(std::span<T> values) : data_(values.data()), size_(static_cast<uint32_t>(values.size())) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() {
    if (capacity_ > 0) std::free(data_);
  }

  uint32_t size() const { return size_; }
  const T* data() const { return data_; }
  const T& operator[](uint32_t i) const { return data_[i]; }
  std::span<const T> span() const { return {data_, size_}; }
  uint64_t ram_bytes() const { return uint64_t{capacity_} * sizeof(T); }

  void push_back(T value) {
    if (size_ >= capacity_) grow();
    data_[size_++] = value;
  }

 private:
  void grow() {
    const uint32_t capacity = std::max<uint32_t>(size_ + size_ / 4, size_ + 16 / sizeof(T) + 1);
    T* data = static_cast<T*>(std::malloc(capacity * sizeof(T)));
    if (data == nullptr) throw std::bad_alloc();
    if (size_ > 0) std::memcpy(data, data_, size_ * sizeof(T));
    if (capacity_ > 0) std::free(data_);
    data_ = data;
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  uint32_t size_ = 0, capacity_ = 0;
};

}  // namespace quire::retrieval
