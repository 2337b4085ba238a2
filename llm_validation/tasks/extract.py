"""Finding in a generated text which of a task's options it chooses."""

import re
from collections.abc import Collection


def extract(text: str, words: Collection[str]) -> str | None:
    """The first of the words that stands in the text, None if none does.

    LLM-Adapters' rule (Hu et al., EMNLP 2023), by which published accuracies on the commonsense sets are
    counted: small and capital letters differ, a word is found inside another one too, and what comes after
    the first is not looked at. Of two words that begin at one place it is the longer one.
    """
    longest_first = sorted(words, key=len, reverse=True)
    found = re.search("|".join(map(re.escape, longest_first)), text) if words else None
    return found.group() if found else None
