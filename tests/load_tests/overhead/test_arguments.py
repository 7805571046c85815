"""What cannot be measured is refused at once, with a message that says what to write."""

from __future__ import annotations

import os

import pytest

from load_tests.overhead.__main__ import main

HERE = f"127.0.0.1:9,{os.getpid()}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds=0"], "'0' is not a whole number of 1 or more"),
        (["--connections=1,0"], "'0' is not a whole number of 1 or more"),
        (["--endpoints=-1"], "'-1' is not a whole number of 1 or more"),
        (["--seconds=0"], "'0' is not a number above 0"),
        (["--seconds=nan"], "'nan' is not a number above 0"),
        ([f"a=127.0.0.1:99999,{os.getpid()}"], "99999 is not a port (1 to 65535)"),
        (["a=127.0.0.1:9,99999999"], "no such process runs here"),
        ([f"a={HERE}", f"a={HERE}"], "name the picker 'a' otherwise"),
        ([f"none={HERE}"], "name the picker 'none' otherwise"),
        ([f"a={HERE}", "--baseline=b"], "--baseline: 'b' is none of a"),
    ],
)
def test_a_word_that_cannot_be_measured_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)

    assert ended.value.code == 2
    assert message in capsys.readouterr().err
