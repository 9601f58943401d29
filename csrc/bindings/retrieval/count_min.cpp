#include "retrieval/count_min/count_min.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "bindings/retrieval/retrieval.h"
#include "bindings/retrieval/text_view.h"
#include "retrieval/errors.h"

namespace nb = nanobind;

namespace quire {
namespace {

using retrieval::CountMin;
using retrieval::Hitter;
using retrieval::InvalidInput;
using retrieval::Key;
using retrieval::KeyKind;

using Integers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Counts = nb::ndarray<const uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

constexpr size_t kChunk = 1 << 10;  // keys viewed at a time: they and their views stay in the second-level cache

Key view_integer(const CountMin& sketch, const int64_t* integer) {
  return sketch.key({reinterpret_cast<const char*>(integer), sizeof(int64_t)}, KeyKind::kInteger);
}

// A view of a Python key, valid while the key lives; an integer is kept in `integer`.
Key view_key(const CountMin& sketch, PyObject* key, int64_t* integer) {
  if (PyUnicode_Check(key)) return sketch.key(view_utf8(key), KeyKind::kText);
  if (PyBytes_Check(key)) {
    return sketch.key({PyBytes_AS_STRING(key), static_cast<size_t>(PyBytes_GET_SIZE(key))}, KeyKind::kBytes);
  }
  if (!PyLong_Check(key)) {
    throw InvalidInput(std::string("a key is of type ") + Py_TYPE(key)->tp_name + "; allowed: str, bytes, int");
  }
  *integer = PyLong_AsLongLong(key);
  if (*integer == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    throw InvalidInput("an integer key does not fit into 64 bits; allowed: -2**63 to 2**63 - 1");
  }
  return view_integer(sketch, integer);
}

nb::object key_object(const Hitter& hitter) {
  const std::string& bytes = hitter.bytes;
  if (hitter.kind == KeyKind::kText) return nb::str(bytes.data(), bytes.size());
  if (hitter.kind == KeyKind::kBytes) return nb::bytes(bytes.data(), bytes.size());
  int64_t integer;
  std::memcpy(&integer, bytes.data(), sizeof(integer));
  return nb::int_(integer);
}

// Views of up to kChunk Python keys. Holds the keys, so that the views stay valid without the GIL.
class KeyChunk {
 public:
  KeyChunk(const CountMin& sketch, size_t num_keys)
      : sketch_(sketch), views_(std::min(kChunk, num_keys)), integers_(views_.size()) {}
  ~KeyChunk() { release(); }
  KeyChunk(const KeyChunk&) = delete;
  KeyChunk& operator=(const KeyChunk&) = delete;

  void take(PyObject** keys, size_t num_keys) {
    constexpr size_t kAhead = 16, kLine = 64;  // strings lie all over memory, most of them on two lines
    release();
    held_ = {keys, keys + num_keys};
    for (size_t i = 0; i < num_keys; ++i) {
      const char* ahead = reinterpret_cast<const char*>(held_[std::min(i + kAhead, num_keys - 1)]);
      __builtin_prefetch(ahead, 1);
      __builtin_prefetch(ahead + kLine);
      Py_INCREF(held_[i]);
      ++num_held_;
      views_[i] = view_key(sketch_, held_[i], &integers_[i]);
    }
  }
  std::span<const Key> views() const { return {views_.data(), num_held_}; }

 private:
  void release() {
    for (size_t i = 0; i < num_held_; ++i) Py_DECREF(held_[i]);
    num_held_ = 0;
  }

  const CountMin& sketch_;
  std::vector<PyObject*> held_;
  std::vector<Key> views_;
  std::vector<int64_t> integers_;
  size_t num_held_ = 0;
};

// use(keys, index of the first) without the GIL, a chunk at a time.
template <class Use>
void for_each_chunk(const CountMin& sketch, const nb::list& keys, const Use& use) {
  const size_t num_keys = keys.size();
  KeyChunk chunk(sketch, num_keys);
  for (size_t begin = 0; begin < num_keys; begin += kChunk) {
    if (keys.size() != num_keys) throw InvalidInput("the list of keys was changed while it was read");
    chunk.take(PySequence_Fast_ITEMS(keys.ptr()) + begin, std::min(kChunk, num_keys - begin));
    const nb::gil_scoped_release unlocked;
    use(chunk.views(), begin);
  }
}

template <class Use>
void for_each_chunk(const CountMin& sketch, const Integers& keys, const Use& use) {
  const nb::gil_scoped_release unlocked;
  std::vector<Key> views(std::min(kChunk, keys.size()));
  for (size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const size_t n = std::min(kChunk, keys.size() - begin);
    for (size_t i = 0; i < n; ++i) views[i] = view_integer(sketch, keys.data() + begin + i);
    use(std::span<const Key>(views.data(), n), begin);
  }
}

template <class Keys>
void add_batch(CountMin& sketch, const Keys& keys, const std::optional<Counts>& counts) {
  if (counts && counts->size() != keys.size()) {
    throw InvalidInput("there are " + std::to_string(keys.size()) + " keys and " + std::to_string(counts->size()) +
                       " counts; give one count for each key, or none");
  }
  for_each_chunk(sketch, keys, [&](std::span<const Key> chunk, size_t begin) {
    sketch.add(chunk, counts ? std::span(counts->data() + begin, chunk.size()) : std::span<const uint64_t>());
  });
}

template <class Keys>
auto estimate_batch(const CountMin& sketch, const Keys& keys) {
  auto estimates = std::make_unique<uint64_t[]>(keys.size());
  for_each_chunk(sketch, keys,
                 [&](std::span<const Key> chunk, size_t begin) { sketch.estimate(chunk, &estimates[begin]); });
  uint64_t* data = estimates.get();
  nb::capsule owner(estimates.release(), [](void* p) noexcept { delete[] static_cast<uint64_t*>(p); });
  return nb::ndarray<nb::numpy, uint64_t, nb::ndim<1>>(data, {keys.size()}, owner);
}

uint64_t estimate(const CountMin& sketch, nb::handle key) {
  int64_t integer;
  uint64_t estimate;
  const Key view = view_key(sketch, key.ptr(), &integer);
  sketch.estimate({&view, 1}, &estimate);
  return estimate;
}

void add(CountMin& sketch, nb::handle key, int64_t count) {
  if (count < 0) throw InvalidInput("count is " + std::to_string(count) + "; allowed: 0 or more");
  int64_t integer;
  const Key view = view_key(sketch, key.ptr(), &integer);
  const auto times = static_cast<uint64_t>(count);
  sketch.add({&view, 1}, {&times, 1});
}

void merge(CountMin& sketch, const CountMin& other) {
  if (!sketch.options().can_merge(other.options())) {
    throw InvalidInput("these sketches differ in width, depth or seed; only sketches made alike can be merged");
  }
  const nb::gil_scoped_release unlocked;
  sketch.merge(other);
}

nb::list heavy_hitters(const CountMin& sketch, uint64_t k) {
  nb::list hitters;
  for (const Hitter& hitter : sketch.heavy_hitters(k)) {
    hitters.append(nb::make_tuple(key_object(hitter), hitter.estimate));
  }
  return hitters;
}

}  // namespace

void bind_count_min(nb::module_& m) {
  nb::class_<CountMin>(m, "CountMin")
      .def(
          "__init__",
          [](CountMin* self, uint32_t width, int depth, int counter_bits, bool conservative, uint64_t num_hitters,
             uint64_t seed) { new (self) CountMin({width, depth, counter_bits, conservative, num_hitters, seed}); },
          nb::arg("width"), nb::arg("depth"), nb::arg("counter_bits"), nb::arg("conservative"), nb::arg("num_hitters"),
          nb::arg("seed"))
      .def("add", &add, nb::arg("key"), nb::arg("count") = 1,
           nb::sig("def add(self, key: str | bytes | int, count: int = 1) -> None"), "Counts `key`, `count` times.")
      .def("add_integers", &add_batch<Integers>, nb::arg("keys").noconvert(), nb::arg("counts").none())
      .def("add_objects", &add_batch<nb::list>, nb::arg("keys"), nb::arg("counts").none(),
           nb::sig("def add_objects(self, keys: list[str | bytes | int], counts: numpy.typing.NDArray[numpy.uint64] | "
                   "None) -> None"))
      .def("estimate", &estimate, nb::arg("key"), nb::sig("def estimate(self, key: str | bytes | int) -> int"),
           "How often `key` was added: never too low, too high by at most `error_bound()` with probability 1 - delta.")
      .def("estimate_integers", &estimate_batch<Integers>, nb::arg("keys").noconvert())
      .def("estimate_objects", &estimate_batch<nb::list>, nb::arg("keys"),
           nb::sig("def estimate_objects(self, keys: list[str | bytes | int]) -> numpy.typing.NDArray[numpy.uint64]"))
      .def("merge_native", &merge, nb::arg("other"))
      .def("decay_native", &CountMin::decay, nb::arg("factor"), nb::call_guard<nb::gil_scoped_release>())
      .def("clear", &CountMin::clear, "Forgets everything.")
      .def("heavy_hitters_native", &heavy_hitters, nb::arg("k"),
           nb::sig("def heavy_hitters_native(self, k: int) -> list[tuple[str | bytes | int, int]]"))
      .def("error_bound", &CountMin::error_bound,
           "What an estimate is too high by at most, with probability 1 - delta: e / width · total.")
      .def_prop_ro("total", &CountMin::total, "The sum of all counts, decayed as they are.")
      .def_prop_ro("num_bytes", &CountMin::num_bytes, "Memory of the counters and of the tracked keys.")
      .def_prop_ro("width", [](const CountMin& sketch) { return sketch.options().width; })
      .def_prop_ro("depth", [](const CountMin& sketch) { return sketch.options().depth; });
}

}  // namespace quire
