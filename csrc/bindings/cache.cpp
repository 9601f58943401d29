#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bindings/rooms.h"
#include "cache/digest_chain.h"
#include "cache/sha256.h"

namespace nb = nanobind;

namespace quire {
namespace {

// Below this many tokens the hashing takes less time than another thread would keep the lock for.
constexpr size_t kReleaseLockTokens = 16 * 1024;

// The value of an int of one digit, which nearly every token id is, without a call; -1 for all others.
inline long one_digit_value(PyObject* item) {
#if PY_VERSION_HEX >= 0x030C0000
  if (!PyLong_CheckExact(item)) return -1;
  const auto* number = reinterpret_cast<const PyLongObject*>(item);
  return PyUnstable_Long_IsCompact(number) ? static_cast<long>(PyUnstable_Long_CompactValue(number)) : -1;
#else
  if (!PyLong_CheckExact(item) || Py_SIZE(item) != 1) return -1;
  return static_cast<long>(reinterpret_cast<PyLongObject*>(item)->ob_digit[0]);
#endif
}

// Raises what Python raises for no int at all, and ValueError for one that is no token id.
long checked_value(PyObject* item, size_t position) {
  int overflow = 0;
  const long id = PyLong_AsLongAndOverflow(item, &overflow);
  if (id == -1 && PyErr_Occurred()) throw nb::python_error();
  if (overflow == 0 && id >= 0 && id <= std::numeric_limits<int32_t>::max()) return id;
  const std::string text = nb::str(nb::handle(item)).c_str();
  throw nb::value_error(
      ("token id " + text + " at position " + std::to_string(position) + " cannot be hashed; allowed: 0 to 2147483647.")
          .c_str());
}

std::vector<int32_t> read_token_ids(const nb::list& token_ids, size_t start, size_t count) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i) {
    PyObject* item = PyList_GET_ITEM(token_ids.ptr(), static_cast<Py_ssize_t>(start + i));
    const long id = one_digit_value(item);
    ids[i] = static_cast<int32_t>(id >= 0 ? id : checked_value(item, start + i));
  }
  return ids;
}

nb::list hash_blocks(const nb::bytes& parent, const nb::list& token_ids, size_t start, size_t block_size,
                     size_t num_blocks) {
  if (parent.size() != sha256::kDigestBytes) throw nb::value_error("the parent digest must have 32 bytes.");
  if (block_size == 0) throw nb::value_error("block_size is 0; allowed: 1 or more.");
  const size_t size = token_ids.size();
  if (start > size || num_blocks > (size - start) / block_size) {
    throw nb::value_error(("there are no " + std::to_string(num_blocks) + " full blocks of " +
                           std::to_string(block_size) + " behind token " + std::to_string(start) + " of " +
                           std::to_string(size) + ".")
                              .c_str());
  }
  const std::vector<int32_t> ids = read_token_ids(token_ids, start, num_blocks * block_size);
  std::vector<uint8_t> digests(num_blocks * sha256::kDigestBytes);
  {
    std::optional<nb::gil_scoped_release> unlocked;
    if (ids.size() >= kReleaseLockTokens) unlocked.emplace();
    const auto* first = reinterpret_cast<const uint8_t*>(parent.c_str());
    digest_chain(first, ids.data(), num_blocks, block_size, digests.data());
  }
  nb::list result;
  for (size_t i = 0; i < num_blocks; ++i) {
    result.append(nb::bytes(digests.data() + i * sha256::kDigestBytes, sha256::kDigestBytes));
  }
  return result;
}

}  // namespace

void bind_cache(nb::module_& m) {
  m.def("hash_blocks", &hash_blocks, nb::arg("parent"), nb::arg("token_ids"), nb::arg("start"), nb::arg("block_size"),
        nb::arg("num_blocks"),
        nb::sig("def hash_blocks(parent: bytes, token_ids: list[int], start: int, block_size: int, num_blocks: int)"
                " -> list[bytes]"),
        "Digests of `num_blocks` full blocks from token `start` on: SHA-256 over (digest before, token ids as int32 "
        "LE).\n"
        "Raises ValueError for an id below 0 or above 2**31 - 1, and for blocks that the list does not fill.");
}

}  // namespace quire
