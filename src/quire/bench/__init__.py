"""How fast is it, on which machine, and can the number be trusted?

`harness` runs cases and reports, `stats` says what the repetitions are worth, `environment` says where they were made.
Every other module that defines `cases` is one benchmark: `quire bench <module>` runs it.
"""
