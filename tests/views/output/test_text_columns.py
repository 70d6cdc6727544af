from trackside.views.output.text_columns import align_columns


def test_columns_are_as_wide_as_their_longest_cell_and_no_line_ends_with_spaces():
    lines = align_columns([("name", "value", "a long head"), ("x", "10", "y")], left=3)
    assert lines.splitlines() == ["name  value  a long head", "x     10     y"]
