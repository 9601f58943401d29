// Addresses that Python passes, as pointers.

#pragma once

#include <cstdint>

namespace quire {

using Address = uintptr_t;

template <class T = void>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace quire
