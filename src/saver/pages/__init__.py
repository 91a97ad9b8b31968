"""What people open rather than type: `saver ui`, and the pages of `saver serve`. See docs/pages.md.

Each module of this folder that has `ROUTES`, a tuple of `Address`, adds pages; `app.py` finds them by that
name. An address names a function, its act, which runs in a thread of its own. It takes a `Visit` (what the
request says, the opened store, who may do what) and returns one of these, of `page.py`:

- `Page(template, title, document, values)`: the template, of `templates/`, is rendered with `values`. JSON
  (`Accept: application/json`, or `?format=json`) is `document` instead, which `saver.documents` has.
- `Redirect(path)`: what an action (a POST) ends with. Its form has `{{ token_field() }}`; the door checks it.
- `Stream(events)`: an asynchronous iterator of bytes, sent as `text/event-stream`. It is closed when the
  reader has gone or the server ends.

An act raises errors of Saver, or `Refusal`; the door (`door.py`) makes pages of them. Templates extend
`base.html` and fill `{% block main %}`. All that `{{ }}` prints is escaped, and characters that change the
direction of text or control a terminal are written as escapes (`rendering.py`). No inline script or style
runs: files are in `static/`, and `{{ asset("pages.js") }}` is the address of one. A page with a script of its
own names it in `{% block scripts %}`. Models and versions have one address each: `model_at(name)` and
`version_at(ref)`, in Python and in templates.
"""
