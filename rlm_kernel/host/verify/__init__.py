"""Verifiers in the path of sub-calls and cells.

| file | idea |
|---|---|
| `verdict.py` | what a hook gets, and what it says |
| `asking.py` | asks one hook, and fails closed |
| `hooks.py` | the caller's hooks for sub-calls, in order |
| `approval.py` | the same for cells: `approve=` |
| `approver.py` | a person who approves, in a terminal or a form |
| `judge.py` | a small model as a hook |
| `ready.py`, `claims.py` | hooks to use as they are: a result is checked against its passage |
"""

from rlm_kernel.host.verify.approver import Approver
from rlm_kernel.host.verify.hooks import Refusal, Verifiers, retry_prompt
from rlm_kernel.host.verify.verdict import ProposedCell, SubCall, Verdict

__all__ = ["Approver", "ProposedCell", "Refusal", "SubCall", "Verdict", "Verifiers", "retry_prompt"]
