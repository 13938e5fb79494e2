"""The dashboard: all runs of a project by state, what waits for an answer, what it cost so far.

`board` says what is shown (values, from the live runs' journals and the store for the others),
`page` says it without a kernel, `widget` is the anywidget; `dashboard.js` and `.css` are the front
end, built from `src/`. Rows, questions and commands are the run view's.
"""
