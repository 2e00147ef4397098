"""What a report says of how stable an overlap is: with edges ranked anew, beside controls, under other settings."""

from __future__ import annotations

from engine.exchange.report_parts import Block, Grid, Paragraph, Section
from engine.exchange.report_runs import Question, command_for
from engine.runs import stability, stability_lines


def stability_section(question: Question) -> Section:
    """All is read from stored circuits; which settings are not stored is said."""
    spec, arm, mdm = question.mdm.run.spec, question.arm.run, question.mdm.run
    k = stability_lines.size_of(arm, mdm)
    caption = f"Overlap at K = {k:,} with its 95 % interval, the edges ranked anew in every resample of the prompts."
    redrawn = stability_lines.redrawn_rows(arm, mdm, question.control, k)
    blocks: list[Block] = [Grid(caption, stability_lines.REDRAWN_HEAD, redrawn)]
    controls = stability.controls(spec, k)
    if controls is not None:
        caption = f"What the overlap at K = {k:,} is compared with: of edges, and of core components."
        blocks.append(Grid(caption, stability_lines.CONTROL_HEAD, stability_lines.control_rows(controls)))
    rows = stability.overlaps(stability.settings_of(spec), [k])
    caption = (
        f"The overlap at K = {k:,} under other settings; and each model's circuit under them with its own under the "
        "settings of this report (nothing where a setting does not concern a model)."
    )
    blocks.append(Grid(caption, stability_lines.SETTING_HEAD, stability_lines.setting_rows(rows)))
    unknown = [row.setting.name for row in rows if not stability_lines.is_known(row)]
    if unknown:
        command = command_for(spec, "stability")
        blocks.append(Paragraph(f"Not computed: {', '.join(unknown)}. Compute them with `{command}`."))
    return Section("How stable the overlap is", blocks)
