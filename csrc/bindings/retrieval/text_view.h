// The UTF-8 of Python strings where it lies, without a copy.

#pragma once

#include <nanobind/nanobind.h>

#include <string_view>

namespace quire {

// Valid while the string lives. REQUIRES: PyUnicode_Check(text), the GIL. Throws for a text with half a character.
inline std::string_view view_utf8(PyObject* text) {
  if (PyUnicode_IS_COMPACT_ASCII(text)) [[likely]] {
    return {static_cast<const char*>(PyUnicode_DATA(text)), static_cast<size_t>(PyUnicode_GET_LENGTH(text))};
  }
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text, &size);
  if (data == nullptr) throw nanobind::python_error();
  return {data, static_cast<size_t>(size)};
}

}  // namespace quire
