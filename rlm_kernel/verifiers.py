"""Ready-made hooks for the options ``before_call`` and ``after_call``; see ``docs/verifiers.md``."""

from rlm_kernel.host.verify.ready import no_whole_context, supported_by_passage

__all__ = ["no_whole_context", "supported_by_passage"]
