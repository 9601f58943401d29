#include "retrieval/hnsw/hnsw.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/retrieval/arrays.h"
#include "bindings/retrieval/retrieval.h"
#include "parallel.h"
#include "retrieval/errors.h"

namespace quire {
namespace {

using namespace retrieval;

using Vectors = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
void check_shape(const Hnsw& index, const Vectors& vectors, const char* what) {
  if (static_cast<int>(vectors.shape(1)) == index.options().dim) return;
  throw InvalidInput(std::string(what) + " has " + std::to_string(vectors.shape(1)) + " columns; this index is of " +
                     std::to_string(index.options().dim) + " dimensions");
}

void check_rows(const Hnsw& index, const Vectors& vectors, const IdArray& ids) {
  check_shape(index, vectors, "vectors");
  if (vectors.shape(0) == ids.size()) return;
  throw InvalidInput("there are " + std::to_string(vectors.shape(0)) + " vectors and " + std::to_string(ids.size()) +
                     " ids; give one id for each vector");
}

auto search(const Hnsw& index, const Vectors& queries, size_t k, size_t ef, const Filter& filter, int num_threads) {
  check_shape(index, queries, "queries");
  const size_t rows = queries.shape(0);
  size_t columns = 0;
  std::unique_ptr<int64_t[]> ids;
  std::unique_ptr<float[]> distances;
  {
    const nb::gil_scoped_release unlocked;
    const auto found = index.search(queries.data(), rows, k, ef, view(filter), num_threads);
    if (rows > 0) columns = found[0].size();
    ids = std::make_unique<int64_t[]>(rows * columns);
    distances = std::make_unique<float[]>(rows * columns);
    for (size_t i = 0; i < rows; ++i) {
      for (size_t j = 0; j < columns; ++j) {
        ids[i * columns + j] = found[i][j].id;
        distances[i * columns + j] = found[i][j].distance;
      }
    }
  }
  return std::make_pair(as_array(std::move(ids), rows, columns), as_array(std::move(distances), rows, columns));
}

}  // namespace

void bind_hnsw(nb::module_& m) {
  using Unlocked = nb::call_guard<nb::gil_scoped_release>;
  nb::class_<Hnsw>(m, "Hnsw")
      .def(
          "__init__",
          [](Hnsw* self, int dim, int metric, int row_type, int M, int ef_construction, int ef_search, uint64_t seed) {
            new (self) Hnsw({dim, static_cast<Metric>(metric), static_cast<RowType>(row_type), M, ef_construction,
                             ef_search, seed});
          },
          nb::arg("dim"), nb::arg("metric"), nb::arg("row_type"), nb::arg("M"), nb::arg("ef_construction"),
          nb::arg("ef_search"), nb::arg("seed"))
      .def(
          "add",
          [](Hnsw& index, const Vectors& vectors, const IdArray& ids, int num_threads) {
            check_rows(index, vectors, ids);
            const nb::gil_scoped_release unlocked;
            index.add(view(ids), vectors.data(), num_threads);
          },
          nb::arg("vectors").noconvert(), nb::arg("ids").noconvert(), nb::arg("num_threads"))
      .def(
          "update",
          [](Hnsw& index, const Vectors& vectors, const IdArray& ids, int num_threads) {
            check_rows(index, vectors, ids);
            const nb::gil_scoped_release unlocked;
            index.update(view(ids), vectors.data(), num_threads);
          },
          nb::arg("vectors").noconvert(), nb::arg("ids").noconvert(), nb::arg("num_threads"))
      .def(
          "delete",
          [](Hnsw& index, const IdArray& ids) {
            const nb::gil_scoped_release unlocked;
            index.remove(view(ids));
          },
          nb::arg("ids").noconvert())
      .def("search", &search, nb::arg("queries").noconvert(), nb::arg("k"), nb::arg("ef"),
           nb::arg("filter").noconvert().none(), nb::arg("num_threads"))
      .def("compact", &Hnsw::compact, nb::arg("num_threads"), Unlocked())
      .def("save", &Hnsw::save, nb::arg("path"), Unlocked())
      .def_static("load", &Hnsw::load, nb::arg("path"), Unlocked())
      .def_static("verify", &Hnsw::verify, nb::arg("path"), Unlocked())
      .def("check_invariants", &Hnsw::check_invariants, Unlocked())
      .def("claim_ids", &Hnsw::claim_ids, nb::arg("count"))
      .def("contains", &Hnsw::contains, nb::arg("id"))
      .def("ids", &Hnsw::ids)
      .def(
          "vector",
          [](const Hnsw& index, int64_t id) {
            const size_t dim = index.options().dim;
            auto vector = std::make_unique<float[]>(dim);
            index.copy_vector(id, vector.get());
            return as_array(std::move(vector), dim);
          },
          nb::arg("id"))
      .def(
          "stats",
          [](const Hnsw& index) {
            const HnswStats s = index.stats();
            return nb::make_tuple(s.num_vectors, s.num_deleted, s.max_level, s.mean_degree, s.ram_bytes,
                                  s.mapped_bytes);
          },
          nb::sig("def stats(self) -> tuple[int, int, int, float, int, int]"))
      .def(
          "options",
          [](const Hnsw& index) {
            const HnswOptions& o = index.options();
            return nb::make_tuple(o.dim, static_cast<int>(o.metric), static_cast<int>(o.type), o.M, o.ef_construction,
                                  o.ef_search, o.seed);
          },
          nb::sig("def options(self) -> tuple[int, int, int, int, int, int, int]"))
      .def("__len__", &Hnsw::size);
}

}  // namespace quire
