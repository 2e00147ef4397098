"""From a spec to a figure: the overlap of the circuits of an ARM and an MDM at every size.

In the folder of this repository: python -m examples.overlap overlap.html
Runs that are not in the cache yet are computed first.
"""

import sys
from dataclasses import replace

import plotly.graph_objects as go

import engine

spec = engine.RunSpec(pair="embedded", model="mdm", task="ioi", n=16)
arm, mdm = engine.run(replace(spec, model="arm")), engine.run(spec)
comparison = engine.compare(arm, mdm)

figure = go.Figure()
figure.add_scatter(x=comparison.k, y=comparison.overlap, name="ARM and MDM")
figure.add_scatter(x=comparison.k, y=comparison.chance, name="chance", line_dash="dot")
figure.update_xaxes(type="log", title="K, edges in each circuit")
figure.update_yaxes(range=[0, 1], title="overlap (Jaccard index)")
figure.write_html(sys.argv[1] if len(sys.argv) > 1 else "overlap.html", include_plotlyjs="cdn")
