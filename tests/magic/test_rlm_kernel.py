"""The installed RLM kernel: Jupyter's own suite for kernels."""

from __future__ import annotations

from collections.abc import Iterator

import jupyter_kernel_test
import pytest


@pytest.fixture(scope="module", autouse=True)
def _own_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A history database of the kernels' own, and not that of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield


class TestJupytersOwnSuite(jupyter_kernel_test.KernelTests):
    """Every test of it. IPython numbers the present session 0 in ranges of history, where the suite expects its id."""

    kernel_name = "rlm"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = (
        {"text": "zi", "matches": {"zip"}},
        {"text": "rlm_q", "matches": {"rlm_query", "rlm_query_batched"}},
    )
    complete_code_samples = ("1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n")
    incomplete_code_samples = ("print('''hello", "def f(x):\n  x*2")
    invalid_code_samples = ("import = 7q",)
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('unimportant')"
    code_execute_result = ({"code": "6*7", "result": "42"}, {"code": "answer['content']", "result": "''"})
    code_display_data = (
        {"code": "from IPython.display import HTML, display; display(HTML('<b>test</b>'))", "mime": "text/html"},
    )
    supported_history_operations = ("tail", "search")
    code_history_pattern = "6?7*"
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestTheWelcomeOfIopub(jupyter_kernel_test.IopubWelcomeTests):
    """The suite's other half."""

    kernel_name = "rlm"
    support_iopub_welcome = True
