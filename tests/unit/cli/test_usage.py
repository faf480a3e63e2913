"""What is said of arguments that make no sense."""

from __future__ import annotations

import pytest
import typer

from ipsecfd.cli.usage import UsageError, usage_errors


def test_an_argument_commands_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters are shown, not sent; the exit status is 2."""
    with pytest.raises(typer.Exit) as ended, usage_errors():
        raise UsageError("/test:\x1b[31m: expected /test:ipsec")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "ipsecfd: /test:\\x1b[31m: expected /test:ipsec\n"
