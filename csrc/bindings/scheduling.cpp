#include <nanobind/stl/string.h>
#include <nanobind/typing.h>

#include <cmath>
#include <memory>
#include <vector>

#include "bindings/key_table.h"
#include "bindings/rooms.h"
#include "scheduling/indexed_heap.h"

namespace nb = nanobind;

namespace quire {

namespace {

[[noreturn]] void raise(PyObject* type, nb::handle value, const char* format) {
  PyErr_Format(type, format, value.ptr());
  throw nb::python_error();
}

double checked(double priority) {
  if (std::isnan(priority))
    throw nb::value_error("priority is nan; allowed: any number that can be ordered, or infinity.");
  return priority;
}

double checked_amount(double amount) {
  if (!(amount >= 0))
    throw nb::value_error("amount is negative or nan; allowed: 0 or more. Use update to set a priority.");
  return amount;
}

// A heap of Python keys: the key table gives each key a handle, the heap orders handles. Calls hold the GIL throughout.
//
// Whatever may run Python code (hashing, comparing, making or dropping objects) comes before the two are changed, or
// after both are.
class KeyedHeap {
 public:
  explicit KeyedHeap(bool max_heap) : heap_(max_heap) {}

  static KeyedHeap* heapify(nb::handle keys, nb::handle priorities, bool max_heap);

  std::size_t size() const { return heap_.size(); }
  bool is_max_heap() const { return heap_.is_max_heap(); }

  bool contains(nb::handle key) { return keys_.find(key.ptr(), KeyTable::hash_of(key.ptr())) != KeyTable::kAbsent; }

  double priority(nb::handle key) { return heap_.priority(find(key)); }

  void push(nb::handle key, double priority) {
    checked(priority);
    heap_.push(claim(key), priority);
  }

  void update(nb::handle key, double priority) {
    checked(priority);
    heap_.update(find(key), priority);
  }

  double increase(nb::handle key, double amount) { return shift(key, checked_amount(amount)); }
  double decrease(nb::handle key, double amount) { return shift(key, -checked_amount(amount)); }

  nb::object peek() const {
    if (heap_.empty()) throw nb::index_error("peek from an empty heap.");
    const Handle top = heap_.at(0);
    return item(Py_NewRef(keys_.key(top)), heap_.priority(top));
  }

  nb::object pop() {
    if (heap_.empty()) throw nb::index_error("pop from an empty heap.");
    const Handle top = heap_.at(0);
    const double priority = heap_.priority(top);
    heap_.remove(top);
    return item(keys_.remove(top), priority);
  }

  double remove(nb::handle key) {
    const Handle handle = find(key);
    const double priority = heap_.priority(handle);
    heap_.remove(handle);
    Py_DECREF(keys_.remove(handle));
    return priority;
  }

  void clear() {
    heap_ = IndexedHeap(heap_.is_max_heap());
    keys_.clear();
  }

  nb::list keys() const {
    std::vector<nb::object> held;
    held.reserve(heap_.size());
    for (std::size_t i = 0; i < heap_.size(); ++i) held.push_back(nb::borrow(keys_.key(heap_.at(i))));
    nb::list list;
    for (nb::object& key : held) list.append(std::move(key));
    return list;
  }

  void check_invariants() const {
    std::string broken = heap_.broken_invariant();
    if (broken.empty() && keys_.size() != heap_.size()) broken = "the heap and its keys differ in number";
    if (broken.empty() && !keys_.is_consistent()) broken = "the table of keys is inconsistent";
    if (broken.empty()) return;
    PyErr_SetString(PyExc_AssertionError, broken.c_str());
    throw nb::python_error();
  }

  int traverse(visitproc visit, void* arg) const { return keys_.traverse(visit, arg); }

 private:
  using Handle = IndexedHeap::Handle;

  Handle find(nb::handle key) {
    const Handle handle = keys_.find(key.ptr(), KeyTable::hash_of(key.ptr()));
    if (handle == KeyTable::kAbsent) raise(PyExc_KeyError, key, "%R is not in the heap; push it first.");
    return handle;
  }

  // A handle for a key that is not in the heap yet.
  Handle claim(nb::handle key) {
    const Py_hash_t hash = KeyTable::hash_of(key.ptr());
    if (keys_.find(key.ptr(), hash) != KeyTable::kAbsent) {
      raise(PyExc_KeyError, key, "%R is already in the heap; use update to change its priority.");
    }
    return keys_.insert(key.ptr(), hash);
  }

  double shift(nb::handle key, double amount) {
    const Handle handle = find(key);
    const double priority = checked(heap_.priority(handle) + amount);
    heap_.update(handle, priority);
    return priority;
  }

  // Takes over the reference to `key`.
  static nb::object item(PyObject* key, double priority) {
    nb::object owned = nb::steal(key);
    return nb::make_tuple(std::move(owned), priority);
  }

  IndexedHeap heap_;
  KeyTable keys_;
};

KeyedHeap* KeyedHeap::heapify(nb::handle keys, nb::handle priorities, bool max_heap) {
  const nb::list key_list(nb::borrow(keys));
  const nb::list priority_list(nb::borrow(priorities));
  if (key_list.size() != priority_list.size()) {
    PyErr_Format(PyExc_ValueError, "%zu keys and %zu priorities; allowed: one priority for each key.", key_list.size(),
                 priority_list.size());
    throw nb::python_error();
  }
  auto made = std::make_unique<KeyedHeap>(max_heap);
  for (std::size_t i = 0; i < key_list.size(); ++i) {
    const double priority = checked(nb::cast<double>(priority_list[i]));
    made->heap_.append(made->claim(key_list[i]), priority);
  }
  made->heap_.restore_order();
  return made.release();
}

int traverse_heap(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<KeyedHeap>(self)->traverse(visit, arg) : 0;
}

int clear_heap(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<KeyedHeap>(self)->clear();
  return 0;
}

PyType_Slot heap_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse_heap)},
                            {Py_tp_clear, reinterpret_cast<void*>(clear_heap)},
                            {0, nullptr}};

}  // namespace

void bind_scheduling(nb::module_& m) {
  m.attr("K") = nb::type_var("K");
  nb::class_<KeyedHeap>(m, "IndexedHeap", nb::type_slots(heap_slots), nb::is_generic(),
                        nb::sig("class IndexedHeap(typing.Generic[K])"), "See quire.scheduling.indexed_heap.")
      .def(nb::init<bool>(), nb::arg("max_heap") = false)
      .def_static("heapify", &KeyedHeap::heapify, nb::arg("keys"), nb::arg("priorities"), nb::arg("max_heap") = false,
                  nb::sig("def heapify(keys: collections.abc.Iterable[K], priorities: collections.abc.Iterable[float], "
                          "max_heap: bool = False) -> IndexedHeap[K]"))
      .def("__len__", &KeyedHeap::size)
      .def("__contains__", &KeyedHeap::contains, nb::arg("key").none(),
           nb::sig("def __contains__(self, key: object, /) -> bool"))
      .def("__getitem__", &KeyedHeap::priority, nb::arg("key").none(),
           nb::sig("def __getitem__(self, key: K, /) -> float"))
      .def(
          "__iter__", [](const KeyedHeap& heap) { return nb::iter(heap.keys()); },
          nb::sig("def __iter__(self) -> collections.abc.Iterator[K]"))
      .def_prop_ro("is_max_heap", &KeyedHeap::is_max_heap)
      .def("push", &KeyedHeap::push, nb::arg("key").none(), nb::arg("priority"),
           nb::sig("def push(self, key: K, priority: float) -> None"))
      .def("update", &KeyedHeap::update, nb::arg("key").none(), nb::arg("priority"),
           nb::sig("def update(self, key: K, priority: float) -> None"))
      .def("increase", &KeyedHeap::increase, nb::arg("key").none(), nb::arg("amount"),
           nb::sig("def increase(self, key: K, amount: float) -> float"))
      .def("decrease", &KeyedHeap::decrease, nb::arg("key").none(), nb::arg("amount"),
           nb::sig("def decrease(self, key: K, amount: float) -> float"))
      .def("peek", &KeyedHeap::peek, nb::sig("def peek(self) -> tuple[K, float]"))
      .def("pop", &KeyedHeap::pop, nb::sig("def pop(self) -> tuple[K, float]"))
      .def("delete", &KeyedHeap::remove, nb::arg("key").none(), nb::sig("def delete(self, key: K) -> float"))
      .def("clear", &KeyedHeap::clear)
      .def("check_invariants", &KeyedHeap::check_invariants);
}

}  // namespace quire
