// What the retrieval core throws. The bindings turn these into quire.errors; anything else is a bug of ours.

#pragma once

#include <stdexcept>

namespace quire::retrieval {

// The caller gave something that cannot be used; the message shows the value and what is allowed.
struct InvalidInput : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// A file is damaged, cut short, or not ours.
struct CorruptIndex : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace quire::retrieval
