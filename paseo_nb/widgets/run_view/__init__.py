"""RunView: a run as a live widget, with a box to answer it, steer it and stop it.

`rows` and `head` say what is shown (pure), `feed` what is sent and when, `acting` carries out what
a front end asks for, `widget` is the anywidget; `run_view.js` and `.css` are the front end, built
from `src/`. The static forms are in `render`, whose words these are.
"""
