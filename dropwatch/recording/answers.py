"""Answers that are noted for a recording, and those that a recording gives."""

from collections.abc import Callable

from dropwatch.enrich.answers import Answers
from dropwatch.model.drop import Frame
from dropwatch.recording.questions import (
    INTERFACE,
    NETNS,
    REASON,
    noted_function,
    noted_host,
    replayed_host,
)
from dropwatch.recording.recorder import Recorder
from dropwatch.recording.recording import Recording


def noted_answers(answers: Answers, recorder: Recorder) -> Answers:
    """The same answers; the recorder hears of each."""

    def frame(address: int) -> Frame:
        found = answers.frame(address)
        recorder.frame(address, found)
        return found

    return Answers(
        frame=frame,
        reason=noted_function(REASON, answers.reason, recorder.asked),
        netns=noted_function(NETNS, answers.netns, recorder.asked),
        interface=noted_function(INTERFACE, answers.interface, recorder.asked),
        time_of=answers.time_of,
        host=noted_host(answers.host, recorder.asked),
        modules=answers.modules,
    )


def recorded_answers(recording: Recording, time_of: Callable[[int], float]) -> Answers:
    """What the recording answers for the event that it gave last."""
    answer = recording.answer
    return Answers(
        frame=recording.frame,
        reason=lambda number: answer(REASON, (number,)),
        netns=lambda inode: answer(NETNS, (inode,)),
        interface=lambda inode, index: answer(INTERFACE, (inode, index)),
        time_of=time_of,
        host=replayed_host(answer),
        modules=lambda: recording.renamed,
    )
