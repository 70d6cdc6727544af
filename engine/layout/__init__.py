"""Where the boxes and the arrows of a chart's picture stand.

`box_tree` nests the phases as boxes, `edge_bundles` groups the rows into bundles between sibling
boxes. `box_layout` then sizes each box: `edge_routing` and `port_sides` choose the route of each
edge, `port_positions` sets the heights of its ports, `lanes` the widths. `edge_paths` turns edges
into lines and labels, `scene` joins them into whole arrows.

May import: statechart.
"""
