"""The ``rlm`` command, one file for each group of its commands.

| file | commands |
|---|---|
| `ask.py` | ``ask`` |
| `runs.py` | ``runs``, ``show``, ``prune``, ``compare`` |
| `again.py` | ``resume``, ``replay``, ``fork`` |
| `forms.py` | ``export``, ``import`` |
| `machine.py` | ``doctor``, ``models`` |
| `following.py` | what those that run something have in common |
"""
