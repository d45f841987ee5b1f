"""Verifiers in the path of sub-calls.

| file | idea |
|---|---|
| `verdict.py` | what a hook gets, and what it says |
| `hooks.py` | runs the caller's hooks, in order, and fails closed |
| `judge.py` | a small model as a hook |
| `ready.py`, `claims.py` | hooks to use as they are: a result is checked against its passage |
"""

from rlm_kernel.host.verify.hooks import Refusal, Verifiers, retry_prompt
from rlm_kernel.host.verify.verdict import SubCall, Verdict

__all__ = ["Refusal", "SubCall", "Verdict", "Verifiers", "retry_prompt"]
