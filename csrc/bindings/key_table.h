// Python keys to small integer handles: any hashable key, compared as a dict compares.
//
//   slots_    open addressing, linear probing, removal by shifting back;  slot = (key, tag, handle)
//   entries_  handle -> (key, hash); handles of removed keys are used again
//
// A tag, the upper half of the mixed hash, is enough to know a slot's home: growing and shifting never touch the keys.
//
// The table owns one reference to each key. Comparing two keys may run Python code, and that code may change this
// table: `find` then starts again. No other method runs Python code. REQUIRES: the GIL is held.

#pragma once

#include <nanobind/nanobind.h>

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace quire {

class KeyTable {
 public:
  using Handle = std::uint32_t;
  static constexpr Handle kAbsent = ~Handle{0};

  KeyTable() : slots_(kMinSlots) {}
  KeyTable(const KeyTable&) = delete;
  KeyTable& operator=(const KeyTable&) = delete;
  ~KeyTable() { clear(); }

  static Py_hash_t hash_of(PyObject* key) {
    const Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1) throw nanobind::python_error();
    return hash;
  }

  std::size_t size() const { return size_; }
  PyObject* key(Handle handle) const { return entries_[handle].key; }

  // The handle of `key`, or kAbsent. Throws what the comparison raises.
  Handle find(PyObject* key, Py_hash_t hash) {
    for (;;) {
      const std::uint64_t version = version_;
      const auto [handle, is_settled] = probe(key, hash, version);
      if (is_settled) return handle;
    }
  }

  // REQUIRES: `key` is absent.
  Handle insert(PyObject* key, Py_hash_t hash) {
    if ((size_ + 1) * 4 > slots_.size() * 3) grow();
    const Handle handle = take_handle();
    entries_[handle] = {Py_NewRef(key), hash};
    place({key, tag_of(hash), handle});
    ++size_;
    ++version_;
    return handle;
  }

  // Hands the table's reference to the caller. REQUIRES: `handle` came from `insert` and was not removed since.
  [[nodiscard]] PyObject* remove(Handle handle) {
    close_gap(slot_of(handle));
    free_handles_.push_back(handle);
    --size_;
    ++version_;
    return std::exchange(entries_[handle].key, nullptr);
  }

  // Dropping keys can run Python code, which must meet an empty table and not a half-empty one.
  void clear() {
    std::vector<Entry> dropped = std::exchange(entries_, {});
    slots_.assign(kMinSlots, Slot{});
    free_handles_.clear();
    shift_ = 64 - std::countr_zero(kMinSlots);
    size_ = 0;
    ++version_;
    for (const Entry& entry : dropped) Py_XDECREF(entry.key);
  }

  int traverse(visitproc visit, void* arg) const {
    for (const Entry& entry : entries_) Py_VISIT(entry.key);
    return 0;
  }

  // Every handle in use is found from its own key's hash, and nothing else is in the table. O(n).
  bool is_consistent() const {
    std::size_t num_used = 0;
    for (Handle handle = 0; handle < entries_.size(); ++handle) {
      if (entries_[handle].key == nullptr) continue;
      ++num_used;
      if (slots_[slot_of(handle)].handle != handle) return false;
    }
    std::size_t num_full = 0;
    for (const Slot& slot : slots_) num_full += slot.handle != kAbsent;
    return num_used == size_ && num_full == size_ && entries_.size() == size_ + free_handles_.size();
  }

 private:
  static constexpr std::size_t kMinSlots = 8;

  struct Slot {
    PyObject* key = nullptr;  // borrowed from entries_
    std::uint32_t tag = 0;
    Handle handle = kAbsent;
  };
  struct Entry {
    PyObject* key = nullptr;
    Py_hash_t hash = 0;
  };
  struct Probe {
    Handle handle;
    bool is_settled;
  };

  // Python hashes small integers to themselves; the multiplication spreads them over the upper bits (Fibonacci
  // hashing).
  static std::uint32_t tag_of(Py_hash_t hash) {
    return static_cast<std::uint32_t>((static_cast<std::uint64_t>(hash) * 0x9E3779B97F4A7C15u) >> 32);
  }
  std::size_t home_of(std::uint32_t tag) const { return (static_cast<std::uint64_t>(tag) << 32) >> shift_; }
  std::size_t next(std::size_t slot) const { return (slot + 1) & (slots_.size() - 1); }

  Probe probe(PyObject* key, Py_hash_t hash, std::uint64_t version) {
    const std::uint32_t tag = tag_of(hash);
    for (std::size_t i = home_of(tag); slots_[i].handle != kAbsent; i = next(i)) {
      const Handle handle = slots_[i].handle;
      if (slots_[i].key == key) return {handle, true};
      if (slots_[i].tag != tag || entries_[handle].hash != hash) continue;
      const bool is_equal = equals(slots_[i].key, key);
      if (version_ != version) return {kAbsent, false};
      if (is_equal) return {handle, true};
    }
    return {kAbsent, true};
  }

  static bool equals(PyObject* held, PyObject* key) {
    const nanobind::object alive = nanobind::borrow(held);
    const int is_equal = PyObject_RichCompareBool(held, key, Py_EQ);
    if (is_equal < 0) throw nanobind::python_error();
    return is_equal != 0;
  }

  Handle take_handle() {
    if (free_handles_.empty()) {
      entries_.emplace_back();
      return static_cast<Handle>(entries_.size() - 1);
    }
    const Handle handle = free_handles_.back();
    free_handles_.pop_back();
    return handle;
  }

  void place(Slot entry) {
    std::size_t i = home_of(entry.tag);
    while (slots_[i].handle != kAbsent) i = next(i);
    slots_[i] = entry;
  }

  std::size_t slot_of(Handle handle) const {
    std::size_t i = home_of(tag_of(entries_[handle].hash));
    while (slots_[i].handle != handle && slots_[i].handle != kAbsent) i = next(i);
    return i;
  }

  // Moves later slots of the run back over the gap wherever that brings them no further than their home.
  void close_gap(std::size_t gap) {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t i = next(gap); slots_[i].handle != kAbsent; i = next(i)) {
      const std::size_t distance = (i - home_of(slots_[i].tag)) & mask;
      if (distance < ((i - gap) & mask)) continue;
      slots_[gap] = slots_[i];
      gap = i;
    }
    slots_[gap] = Slot{};
  }

  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    --shift_;
    for (const Slot& slot : old) {
      if (slot.handle != kAbsent) place(slot);
    }
  }

  std::vector<Slot> slots_;
  std::vector<Entry> entries_;
  std::vector<Handle> free_handles_;
  int shift_ = 64 - std::countr_zero(kMinSlots);
  std::size_t size_ = 0;
  std::uint64_t version_ = 0;
};

}  // namespace quire
