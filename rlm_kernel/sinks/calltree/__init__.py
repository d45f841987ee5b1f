"""The call tree as rows, and the script and style that draw them: in the one-file page and in the notebook's widget."""
