"""What differs is known field by field, not only marked in a text."""

from dropwatch.causes.ipsec.comparison import Row, differing, evidence
from dropwatch.model.drop import Difference, Evidence

ROWS = (Row("spi", "0x00000001", "0x00000002", True), Row("proto", "esp", "esp", False))


def test_a_field_that_differs_is_the_proof_and_has_its_sides() -> None:
    spi, proto = evidence("packet / SA", ROWS)
    assert isinstance(spi, Difference)
    assert (spi.source, spi.text) == ("packet / SA", "spi 0x00000001 / 0x00000002  <- differs")
    assert (spi.sides, spi.name, spi.came, spi.wanted) == (
        ("packet", "SA"),
        "spi",
        "0x00000001",
        "0x00000002",
    )
    assert spi.role == "proof"
    assert proto == Evidence("packet / SA", "proto esp / esp")
    assert proto.role == "fact"
    assert differing(ROWS) == ("spi",)


def test_sides_of_several_words() -> None:
    (length,) = evidence("packet / path through the SA", (Row("length", "1500", "at most 1450", True),))
    assert isinstance(length, Difference)
    assert length.sides == ("packet", "path through the SA")
