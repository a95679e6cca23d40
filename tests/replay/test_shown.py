"""What pages show of a cause is what the recordings show today."""

from manual import files


def test_samples_and_kernels_are_those_of_the_recordings() -> None:
    path, make = files.samples()
    assert path.read_text(encoding="utf-8") == make(), "make docs"
