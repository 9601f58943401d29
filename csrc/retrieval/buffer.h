// A growing array of plain values in 16 bytes, or a view of an array that lies elsewhere until it must grow, which
// copies it. At most 2³²-1 values.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <stdexcept>
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
  T* data() { return data_; }
  const T& operator[](uint32_t i) const { return data_[i]; }
  T& operator[](uint32_t i) { return data_[i]; }
  const T& back() const { return data_[size_ - 1]; }
  bool empty() const { return size_ == 0; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::span<const T> span() const { return {data_, size_}; }
  uint64_t ram_bytes() const { return uint64_t{capacity_} * sizeof(T); }

  void push_back(T value) {
    if (size_ >= capacity_) grow(1);
    data_[size_++] = value;
  }
  void append(const T* values, size_t count) {
    if (size_ + count > capacity_) grow(count);
    if (count > 0) std::memcpy(data_ + size_, values, count * sizeof(T));
    size_ += static_cast<uint32_t>(count);
  }
  // REQUIRES: size <= size().
  void truncate(uint32_t size) { size_ = size; }
  void assign(uint32_t size, T value) {
    size_ = 0;
    if (size > capacity_) grow(size);
    std::fill_n(data_, size, value);
    size_ = size;
  }

 private:
  void grow(size_t count) {
    const size_t capacity = std::max<size_t>(size_ + size_ / 4, size_ + count + (count == 1 ? 16 / sizeof(T) : 0));
    if (capacity > UINT32_MAX) throw std::length_error("an index holds too much of one kind; split it");
    T* data = static_cast<T*>(std::malloc(capacity * sizeof(T)));
    if (data == nullptr) throw std::bad_alloc();
    if (size_ > 0) std::memcpy(data, data_, size_ * sizeof(T));
    if (capacity_ > 0) std::free(data_);
    data_ = data;
    capacity_ = static_cast<uint32_t>(capacity);
  }

  T* data_ = nullptr;
  uint32_t size_ = 0, capacity_ = 0;
};

}  // namespace quire::retrieval
