"""What a call says when it refuses its input."""

from collections.abc import Callable

import pytest


def refusal(call: Callable, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # each test reads the message
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
