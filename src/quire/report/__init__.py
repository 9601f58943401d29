"""How is what was built and measured shown to people who read?

`architecture` reads the import contract and what every room says of itself, `evidence` the files of results. The
picture, the tables, the paper and the slides are made of these two and of nothing else, so that none of them can say
what the code and the measurements do not. Needs matplotlib, python-docx and python-pptx: the extra `report`.
"""
