"""Quire's own pages as a collection: a document per section, kept as the pages are."""

from quire import Collection
from tools import index_docs


def test_every_page_comes_in_sections_without_its_programs():
    documents = [document for page in index_docs.PAGES for document in index_docs.sections(page)]
    ids = [document["id"] for document in documents]
    assert len(set(ids)) == len(ids)
    assert "docs/server.md#Answers from a collection" in ids
    assert {document["metadata"]["page"] for document in documents} == {page.name for page in index_docs.PAGES}
    assert not any("```" in document["text"] for document in documents)


def test_a_row_of_a_table_is_a_sentence():
    rows = ["name | default | what it does", "--- | --- | ---", "`a` | `16` | Tokens of one block.", "b | | Bytes."]
    table = "".join(f"| {row} |\n" for row in rows)
    listed = index_docs.TABLE.sub(index_docs.items, f"Knobs.\n\n{table}")
    assert index_docs.plain(listed) == "Knobs. a: default 16; Tokens of one block. b: Bytes."
    texts = [document["text"] for page in index_docs.PAGES for document in index_docs.sections(page)]
    assert not any(" | " in text or ".." in text.replace("...", "") for text in texts)


def test_the_collection_is_kept_as_the_pages_are(tmp_path):
    documents = [*index_docs.sections(index_docs.ROOT / "docs" / "server.md")]
    assert index_docs.write(tmp_path / "docs", documents, None).endswith(f"{len(documents)} of them changed")
    assert index_docs.write(tmp_path / "docs", documents, None).endswith("0 of them changed")
    changed = [{**documents[0], "text": "Another word: zyzzyva."}, *documents[2:]]
    assert index_docs.write(tmp_path / "docs", changed, None).endswith("2 of them changed")
    with Collection.open(tmp_path / "docs", read_only=True) as collection:
        assert collection.search("zyzzyva")[0].document_id == documents[0]["id"]
        assert documents[1]["id"] not in collection
