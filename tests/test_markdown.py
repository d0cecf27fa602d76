from zeroshot.report.markdown import aligned


def test_a_table_is_aligned_in_a_terminal_and_figures_are_where_markdown_is_rendered():
    rows = [["model", "hit@1"], ["DeViSE", "7.5"], ["", "12.5 ±1"]]
    assert aligned(rows) == ["| model  | hit@1   |", "|--------|---------|",
                             "| DeViSE | 7.5     |", "|        | 12.5 ±1 |"]
    assert aligned(rows, figures_from=1)[1] == "|--------|--------:|"
    assert aligned(rows[:1], figures_from=0) == ["| model | hit@1 |", "|------:|------:|"]
