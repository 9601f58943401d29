#include "retrieval/inverted_index/inverted_index.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/retrieval/arrays.h"
#include "bindings/retrieval/retrieval.h"
#include "bindings/retrieval/text_view.h"
#include "retrieval/errors.h"

namespace quire {
namespace {

using namespace retrieval;

std::string_view view_text(nb::handle text) {
  if (!PyUnicode_Check(text.ptr())) {
    throw InvalidInput(std::string("a text is of type ") + Py_TYPE(text.ptr())->tp_name + "; allowed: str");
  }
  return view_utf8(text.ptr());
}

std::vector<std::string_view> view_texts(nb::handle texts) {
  std::vector<std::string_view> views;
  for (nb::handle text : nb::borrow<nb::tuple>(texts)) views.push_back(view_text(text));
  return views;
}

WordSplitter as_splitter(const nb::bytes& classes) {
  const auto* table = static_cast<const uint8_t*>(classes.data());
  return WordSplitter({table, table + classes.size()});
}

// Asks the Python function; it runs with the GIL, which its caller gave away.
InvertedIndex::Normalise as_normalise(const nb::callable& function) {
  return [&function](const std::vector<std::string>& words) {
    const nb::gil_scoped_acquire locked;
    return nb::cast<std::vector<std::optional<std::string>>>(function(words));
  };
}

void add(InvertedIndex& index, const IdArray& ids, const nb::tuple& texts, bool replaces,
         const nb::callable& normalise) {
  const auto views = view_texts(texts);
  const nb::gil_scoped_release unlocked;
  index.add(view(ids), views, replaces, as_normalise(normalise));
}

void add_terms(InvertedIndex& index, const IdArray& ids, const nb::tuple& documents, bool replaces) {
  std::vector<InvertedIndex::Terms> views;
  for (nb::handle document : documents) views.push_back(view_texts(document));
  const nb::gil_scoped_release unlocked;
  index.add_terms(view(ids), views, replaces);
}

auto as_arrays(const std::vector<ScoredId>& found) {
  auto ids = std::make_unique<int64_t[]>(found.size());
  auto scores = std::make_unique<float[]>(found.size());
  for (size_t i = 0; i < found.size(); ++i) ids[i] = found[i].id, scores[i] = found[i].score;
  return std::make_pair(as_array(std::move(ids), found.size()), as_array(std::move(scores), found.size()));
}

auto search(const InvertedIndex& index, const nb::tuple& query, size_t k, const Filter& filter) {
  const auto terms = view_texts(query);
  std::vector<ScoredId> found;
  {
    const nb::gil_scoped_release unlocked;
    found = index.search(terms, k, view(filter));
  }
  return as_arrays(found);
}

auto search_phrase(const InvertedIndex& index, const nb::tuple& phrase, size_t k, const Filter& filter) {
  InvertedIndex::Phrase terms;
  for (nb::handle term : phrase) terms.push_back(term.is_none() ? std::nullopt : std::optional(view_text(term)));
  std::vector<ScoredId> found;
  {
    const nb::gil_scoped_release unlocked;
    found = index.search_phrase(terms, k, view(filter));
  }
  return as_arrays(found);
}

}  // namespace

void bind_inverted_index(nb::module_& m) {
  using Unlocked = nb::call_guard<nb::gil_scoped_release>;
  nb::class_<InvertedIndex>(m, "InvertedIndex")
      .def(
          "__init__",
          [](InvertedIndex* self, int variant, float k1, float b, float delta, bool has_positions,
             const nb::bytes& classes, std::string_view analyzer) {
            const Bm25Options options{static_cast<Bm25Variant>(variant), k1, b, delta};
            new (self) InvertedIndex(options, has_positions, as_splitter(classes), analyzer);
          },
          nb::arg("variant"), nb::arg("k1"), nb::arg("b"), nb::arg("delta"), nb::arg("has_positions"),
          nb::arg("classes"), nb::arg("analyzer"))
      .def("analyzer", &InvertedIndex::analyzer)
      .def("has_positions", &InvertedIndex::has_positions)
      .def("add", &add, nb::arg("ids").noconvert(), nb::arg("texts"), nb::arg("replaces"), nb::arg("normalise"),
           nb::sig("def add(self, ids: numpy.typing.NDArray[numpy.int64], texts: tuple[str, ...], replaces: bool, "
                   "normalise: collections.abc.Callable[[list[str]], list[str | None]]) -> None"))
      .def(
          "add_terms", &add_terms, nb::arg("ids").noconvert(), nb::arg("documents"), nb::arg("replaces"),
          nb::sig("def add_terms(self, ids: numpy.typing.NDArray[numpy.int64], documents: tuple[tuple[str, ...], ...], "
                  "replaces: bool) -> None"))
      .def(
          "delete",
          [](InvertedIndex& index, const IdArray& ids) {
            const nb::gil_scoped_release unlocked;
            index.remove(view(ids));
          },
          nb::arg("ids").noconvert())
      .def("compact", &InvertedIndex::compact, Unlocked())
      .def(
          "analyse",
          [](const InvertedIndex& index, nb::str text, const nb::callable& normalise) {
            const std::string_view whole = view_text(text);
            std::vector<std::optional<std::string>> terms;
            {
              const nb::gil_scoped_release unlocked;
              terms = index.analyse(whole, as_normalise(normalise));
            }
            return nb::tuple(nb::cast(terms));
          },
          nb::arg("text"), nb::arg("normalise"),
          nb::sig("def analyse(self, text: str, normalise: collections.abc.Callable[[list[str]], list[str | None]]) -> "
                  "tuple[str | None, ...]"))
      .def("search", &search, nb::arg("terms"), nb::arg("k"), nb::arg("filter").noconvert().none(),
           nb::sig("def search(self, terms: tuple[str, ...], k: int, filter: numpy.typing.NDArray[numpy.bool_] | "
                   "numpy.typing.NDArray[numpy.int64] | None) -> tuple[numpy.typing.NDArray[numpy.int64], "
                   "numpy.typing.NDArray[numpy.float32]]"))
      .def("search_phrase", &search_phrase, nb::arg("terms"), nb::arg("k"), nb::arg("filter").noconvert().none(),
           nb::sig("def search_phrase(self, terms: tuple[str | None, ...], k: int, filter: "
                   "numpy.typing.NDArray[numpy.bool_] | numpy.typing.NDArray[numpy.int64] | None) -> "
                   "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float32]]"))
      .def(
          "score",
          [](const InvertedIndex& index, const nb::tuple& query, int64_t id) {
            const auto terms = view_texts(query);
            const nb::gil_scoped_release unlocked;
            return index.score(terms, id);
          },
          nb::arg("terms"), nb::arg("id"), nb::sig("def score(self, terms: tuple[str, ...], id: int) -> float"))
      .def("document_frequency", &InvertedIndex::document_frequency, nb::arg("term"), Unlocked())
      .def("term_frequency", &InvertedIndex::term_frequency, nb::arg("term"), nb::arg("id"), Unlocked())
      .def("length", &InvertedIndex::length, nb::arg("id"), Unlocked())
      .def("contains", &InvertedIndex::contains, nb::arg("id"), Unlocked())
      .def("ids", &InvertedIndex::ids, Unlocked())
      .def(
          "stats",
          [](const InvertedIndex& index) {
            const InvertedIndexStats s = index.stats();
            return nb::make_tuple(s.num_documents, s.num_deleted, s.num_terms, s.num_postings, s.posting_bytes,
                                  s.position_bytes, s.ram_bytes, s.mapped_bytes, s.mean_length);
          },
          nb::sig("def stats(self) -> tuple[int, int, int, int, int, int, int, int, float]"))
      .def("save", &InvertedIndex::save, nb::arg("path"), Unlocked())
      .def_static(
          "load",
          [](const std::string& path, const nb::bytes& classes) {
            WordSplitter splitter = as_splitter(classes);
            const nb::gil_scoped_release unlocked;
            return InvertedIndex::load(path, std::move(splitter));
          },
          nb::arg("path"), nb::arg("classes"))
      .def_static("verify", &InvertedIndex::verify, nb::arg("path"), Unlocked())
      .def("check_invariants", &InvertedIndex::check_invariants, Unlocked())
      .def("__len__", &InvertedIndex::size, Unlocked());
}

}  // namespace quire
