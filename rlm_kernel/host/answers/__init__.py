"""Answers, and what they have to be.

| file | idea |
|---|---|
| `answer.py` | how a node ended: a value, its text, why |
| `acceptance.py` | what answers a node: a cell that is ready, or a final in the text, of the right type |
| `answer_type.py` | the option of that name: pydantic's types, several outputs, a JSON schema |
| `structured.py` | a plain model's replies as JSON: how it is asked, read and corrected |
| `bounded_schema.py` | JSON schemas that model-written code may bring, checked in bounded time |
| `json_reply.py` | finds JSON in a reply |
"""
