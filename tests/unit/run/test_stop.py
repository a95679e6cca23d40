"""Signals become a question, and everything is as before afterwards."""

import os
import signal

import pytest

from dropwatch.run.stop import Stop, Stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_old_handler_comes_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Stop() as stop:
        assert stop.asked == 0
        os.kill(os.getpid(), number)
        assert stop.asked == 1
        os.kill(os.getpid(), number)
        assert stop.asked == 2
    assert signal.getsignal(number) == before


def test_it_can_be_asked_without_a_signal() -> None:
    with Stop() as stop:
        stop.ask()
        assert stop.asked == 1


def test_under_nohup_a_terminal_may_go() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.asked == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_ignored_interrupt_of_a_background_job_is_heard() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked == 1
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_may_never_come_is_not_waited_for() -> None:
    with Stop() as stop:
        with stop.waiting():
            pass
        with pytest.raises(Stopped), stop.waiting():
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked == 1
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked == 2
        with pytest.raises(Stopped), stop.waiting():
            pytest.fail("it is asked already")
