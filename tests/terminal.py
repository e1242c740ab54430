"""The command line as tests run it, in this process."""

from holdfast.cli import main


def said(capsys, *arguments, code=0):
    """All that a command printed, on one line; it ends with this exit code."""
    try:
        found = main([str(a) for a in arguments])
    except SystemExit as left:
        found = left.code
    out = capsys.readouterr()
    assert found == code, out
    return " ".join((out.out + out.err).split())
