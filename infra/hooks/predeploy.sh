#!/bin/sh
# Before the code goes up: do the profiles fit the hubs and the settings that are there? Repeating it changes nothing.
set -eu

python=.venv/bin/python
[ -x "$python" ] || python=python3

"$python" -m shared.settings
