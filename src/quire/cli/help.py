"""Help pages that stay readable in 80 columns: flags under the heading of their group, nothing cut short."""

from typing import Any

from typer.core import TyperCommand, TyperGroup


class WholeGroup(TyperGroup):
    """Its list of commands has the whole first sentence of each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        records = [(name, command.get_short_help_str(limit=1_000)) for name, command in found.items() if command]
        with formatter.section("Commands"):
            formatter.write_dl(records)


class GroupedCommand(TyperCommand):
    """A command whose options stand under their `rich_help_panel`, ungrouped ones first, under Options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[Any]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                heading = "Arguments" if parameter.param_type_name == "argument" else heading
                groups.setdefault(heading, []).append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
