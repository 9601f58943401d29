"""What does a file say? Text out of Markdown, HTML, plain text, PDF and DOCX, for a chunker to cut."""

from quire.retrieval.readers.files import FileText, find_files, read_content, read_file

__all__ = ["FileText", "find_files", "read_content", "read_file"]
