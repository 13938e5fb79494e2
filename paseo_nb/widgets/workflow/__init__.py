"""A workflow run to look at. `page` is pure: a story as HTML, the same live and frozen; `live` has
the display of a cell, which a browser shows as a widget (`view.js`: it puts new HTML in place and
says what was clicked) and everything else as HTML that is updated."""
