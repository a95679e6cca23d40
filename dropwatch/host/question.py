"""What makes a method of Host a question: memory, a sentence where it fails, and a name in recordings."""

import struct
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_origin, get_type_hints, overload

from dropwatch.errors import WhydropError
from dropwatch.host.freshness import Freshness
from dropwatch.host.netns.owner import owner
from dropwatch.host.seen import NothingSeen, Seen
from dropwatch.host.share import Share
from dropwatch.names.foreign import printable

_REMEMBERED = 256
_SHARE, _SAVED_S = 0.1, 2.0  # of the time, for the namespaces of one user
_LONG_S = 0.05  # an ordinary drop takes less, also on a slow machine
_OWNER_NS = 1_000_000_000  # how long whose a namespace is is believed: it decides of time only
_MOST_FAILURES = 64  # one user can have many namespaces, each of which fails

Answer = TypeVar("Answer")
Read = TypeVar("Read")

if TYPE_CHECKING:
    from typing_extensions import Self, TypeVarTuple, Unpack

    Given = TypeVarTuple("Given")
else:  # Python has them from 3.11 on, and nobody asks at run time
    Given = TypeVar("Given")

    class Unpack:
        """Of one variable it is that variable."""

        def __class_getitem__(cls, given: Any) -> Any:
            return given


class Asked:
    """Where every question arrives. A host of another kind (replayed, of a test) answers in an `ask` of its own."""

    def __init__(self, seen: Seen | None = None) -> None:
        self.seen: Seen = seen if seen is not None else NothingSeen()
        self.freshness = Freshness()
        self._memories: dict[str, Memory] = {}
        self._failures: dict[str, None] = {}
        self._further_failures = 0
        self._shares: dict[int, Share] = {}
        self._owners = Memory()

    def ask(self, question: "Question", arguments: tuple[Any, ...]) -> Any:
        """The answer to a question that was put with these arguments."""
        return question.read(self, arguments)

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What could not be read, for the closing statement. A namespace that is gone is no blind spot."""
        further = (f"{self._further_failures} times something else",) if self._further_failures else ()
        return (*self._failures, *further)

    def found_in(self, inode: int, not_before_ns: int, read: Callable[[], Read]) -> Read | None:
        """What `read` finds in the namespace that had this number then; None where another has got the number since."""
        found = read()
        began = self.seen.last_change("namespace", inode)
        self.freshness.changes(began or 0)
        return None if began is not None and began > not_before_ns else found

    def tried(self, what: str, inode: int, read: Callable[[], Read]) -> Read | None:
        """What `read` finds in a namespace. None for one that is unknown (0) or gone, and for a reading that fails.

        Whatever fails costs a sentence, for what is read may be anybody's; but a WhydropError ends the run. The
        namespaces of one user who is not root have a share of the time together, so that nobody else waits for them.
        """
        if not inode:
            return None
        what = f"{what} of namespace {inode}"
        user = self._owner(inode)
        if user is None:
            return self.guarded(what, read)
        share = self._share(user)
        if not share.is_left:
            self._fail(what, f"reading the namespaces of user {user} takes too much time")
            return None
        with share.spent():
            return self.guarded(what, read)

    def judging(self, inode: int) -> AbstractContextManager[None]:
        """Inside it a drop of that namespace is judged. What takes long then, since its user has configured so much,
        counts for what may be read for him."""
        user = self._owner(inode) if inode else None
        return nullcontext() if user is None else self._share(user).spent(beyond=_LONG_S)

    def _share(self, user: int) -> Share:
        return self._shares.setdefault(user, Share(_SHARE, _SAVED_S))

    def _owner(self, inode: int) -> int | None:
        which = inode, self.seen.last_change("namespace", inode)
        user: tuple[int | None] = self._owners.get(
            which, time.monotonic_ns() - _OWNER_NS, lambda: (owner(inode),)
        )
        return user[0]

    def guarded(self, what: str, read: Callable[[], Read]) -> Read | None:
        """What `read` finds; None where it fails, and then `what` was a blind spot."""
        try:
            return read()
        except FileNotFoundError:
            return None
        except WhydropError:
            raise
        except OSError as error:
            self._fail(what, error.strerror or str(error))
        except (ValueError, LookupError, struct.error) as error:
            self._fail(what, f"what was read cannot be understood ({error})")
        except Exception as error:
            self._fail(what, f"{type(error).__name__}: {error}")
        return None

    def _fail(self, what: str, why: str) -> None:
        sentence = f"{what}: {printable(why)}"
        if sentence in self._failures:
            return
        if len(self._failures) < _MOST_FAILURES:
            self._failures[sentence] = None
        else:
            self._further_failures += 1

    def remembered(
        self, name: str, key: Hashable, not_before_ns: int, sparing: int, read: Callable[[], Any]
    ) -> Any:
        """The last answer to a question, or a new one where that is older than `not_before_ns`."""
        memory = self._memories.setdefault(name, Memory(sparing))
        answer = memory.get(key, not_before_ns, read)
        self.freshness.ends(memory.fresh_until)
        return answer


class Memory:
    """The last answer for each of the keys that were asked for last, given again only to whom it is young enough for.

    With `sparing` it may be older by so many times what it took: who answers slowly is asked seldom. That there is
    nothing may be so, too, only with `spares_nothing`: a moment later there may be something.
    """

    def __init__(self, sparing: int = 0, *, spares_nothing: bool = False) -> None:
        self._sparing, self._spares_nothing = sparing, spares_nothing
        self._known: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self.fresh_until = 0  # of the last answer

    def get(self, key: Hashable, not_before_ns: int, read: Callable[[], Any]) -> Any:
        fresh_until, answer = self._known.get(key, (None, None))
        if fresh_until is None or fresh_until < not_before_ns:
            read_at = time.monotonic_ns()
            answer = read()
            is_nothing = answer is not None and not answer
            sparing = 0 if is_nothing and not self._spares_nothing else self._sparing
            fresh_until = read_at + sparing * (time.monotonic_ns() - read_at)
            self._known[key] = (fresh_until, answer)
        self.fresh_until = fresh_until
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return answer


class Question(ABC):
    """A method that is asked for. Its arguments are given by their places: they are its key in a recording."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @abstractmethod
    def read(self, host: Asked, arguments: tuple[Any, ...]) -> Any:
        """The answer of the live host."""

    @cached_property
    def answer_type(self) -> Any:
        """As a type annotation."""
        return get_type_hints(self.function)["return"]


class _Remembered(Question, Generic[Unpack[Given], Answer]):
    def __init__(
        self, function: Callable[[Any, Unpack[Given]], Answer], what: str, sparing: int, *, tells_age: bool
    ) -> None:
        super().__init__(function)
        self._what, self._sparing, self._tells_age = what, sparing, tells_age

    @overload
    def __get__(self, host: None, owner: type) -> "Self": ...

    @overload
    def __get__(self, host: Asked, owner: type) -> Callable[[Unpack[Given], int], Answer | None]: ...

    def __get__(self, host: Asked | None, owner: type) -> Any:
        return self if host is None else lambda *arguments: host.ask(self, arguments)

    def read(self, host: Asked, arguments: tuple[Any, ...]) -> Any:
        *key, not_before_ns = arguments
        inode = key[0]
        read = partial(host.tried, self._what, inode, partial(self.function, host, *key))
        which = (host.seen.last_change("namespace", inode), *key)  # one answer is not another's
        ask = partial(host.remembered, self.name, which, not_before_ns, self._sparing, read)
        if self._tells_age:
            host.freshness.ends(0)
        return host.found_in(inode, not_before_ns, ask)

    @cached_property
    def answer_type(self) -> Any:
        return super().answer_type | None


class _Plain(Question, Generic[Unpack[Given], Answer]):
    def __init__(self, function: Callable[[Any, Unpack[Given]], Answer], *, tells_end: bool) -> None:
        super().__init__(function)
        self._tells_end = tells_end

    @overload
    def __get__(self, host: None, owner: type) -> "Self": ...

    @overload
    def __get__(self, host: Asked, owner: type) -> Callable[[Unpack[Given]], Answer]: ...

    def __get__(self, host: Asked | None, owner: type) -> Any:
        return self if host is None else lambda *arguments: host.ask(self, arguments)

    def read(self, host: Asked, arguments: tuple[Any, ...]) -> Any:
        if not self._tells_end:
            host.freshness.ends(0)
        answer = host.guarded(self.name.replace("_", " "), partial(self.function, host, *arguments))
        return () if answer is None and get_origin(self.answer_type) is tuple else answer


def question(
    what: str, *, sparing: int = 0, tells_age: bool = False
) -> Callable[[Callable[[Any, Unpack[Given]], Answer]], _Remembered[Unpack[Given], Answer]]:
    """A question about a network namespace, whose inode is its first argument; `what` is what it reads, in words.

    Whoever asks adds the monotonic time of the drop: `host.mtu(inode, "eth0", not_before_ns)`. An answer is given again
    only for drops that are older than its reading. With `sparing` it may be older by so many times what it took.
    `tells_age`: how long after a drop it was read is shown, so that what is judged by it is of one drop only.
    """
    return partial(_Remembered, what=what, sparing=sparing, tells_age=tells_age)


def plain_question(function: Callable[[Any, Unpack[Given]], Answer]) -> _Plain[Unpack[Given], Answer]:
    """A question whose method remembers for itself.

    Where it fails the answer is None, or nothing where there are several. It is for one drop only.
    """
    return _Plain(function, tells_end=False)


def lasting_question(function: Callable[[Any, Unpack[Given]], Answer]) -> _Plain[Unpack[Given], Answer]:
    """The same of one whose method tells host.freshness for how long the answer is good, unless it is so for ever."""
    return _Plain(function, tells_end=True)


def questions_of(host: type[Asked]) -> dict[str, Question]:
    """Every question that this kind of host is asked, by name; not those that it only asks itself (`_name`)."""
    return {
        name: member
        for each in reversed(host.__mro__)
        for name, member in vars(each).items()
        if isinstance(member, Question) and not name.startswith("_")
    }
