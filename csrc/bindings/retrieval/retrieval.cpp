// quire._native for the retrieval room: errors here, one file per structure beside it (retrieval_<structure>.cpp).

#include "bindings/retrieval/retrieval.h"

#include <system_error>

#include "bindings/rooms.h"
#include "retrieval/errors.h"

namespace nb = nanobind;

namespace quire {

// Errors of the core are raised as the classes of quire.errors, which users catch.
static void raise_as(const char* name, const char* message) {
  PyErr_SetString(nb::module_::import_("quire.errors").attr(name).ptr(), message);
}

void bind_retrieval(nb::module_& m) {
  nb::register_exception_translator([](const std::exception_ptr& error, void*) {
    try {
      std::rethrow_exception(error);
    } catch (const retrieval::InvalidInput& invalid) {
      raise_as("InvalidRequestError", invalid.what());
    } catch (const retrieval::CorruptIndex& corrupt) {
      raise_as("CorruptIndexError", corrupt.what());
    } catch (const std::system_error& failed) {
      PyErr_SetObject(PyExc_OSError, nb::make_tuple(failed.code().value(), failed.what()).ptr());
    }
  });
  bind_count_min(m);
  bind_hnsw(m);
  bind_inverted_index(m);
}

}  // namespace quire
