"""How fast is it, on which machine, and can the number be trusted?

`harness` runs cases, `stats` says what the repetitions are worth, `results` keeps them, `machine` says where they were
made. Every module in the rooms beside them that defines `cases` is one benchmark: `quire bench <module>` runs it.
"""
