"""Hand items to the workers of a Dask cluster, one at a time each, and survive losing workers.

Dask's own scheduling decides where an item goes again when its worker is lost; which item a free
worker gets next is decided here, so that each keeps to programs that it has compiled.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from queue import Empty, Queue
from time import monotonic
from typing import Any, Generic, TypeVar

from distributed import Client, Future
from distributed.scheduler import KilledWorker

Item = TypeVar("Item", bound=Hashable)
Result = TypeVar("Result")

# Seconds between two looks at which workers there are.
LOOK = 0.5


class Deserted(RuntimeError):
    """There has been no usable worker for too long."""


@dataclass(frozen=True)
class Lost:
    """Instead of a result: the item took every worker that tried it with it."""

    reason: str


@dataclass
class Dispatch(Generic[Item, Result]):
    """Items on their way through a cluster.

    Arguments:
        call: what a worker does with an item; must be importable there.
        kind: items of one kind are best kept on one worker.
        admit: called once with the address of every new worker; returns whether to use it.
        started: called with each item as it is handed out.
        patience: seconds without any usable worker after which `Deserted` is raised.
    """

    client: Client
    call: Callable[[Item], Result]
    kind: Callable[[Item], Hashable]
    admit: Callable[[str], bool] = lambda address: True
    started: Callable[[Item], None] = lambda item: None
    patience: float = 3600.0
    workers: set[str] = field(default_factory=set)
    _waiting: dict[Item, None] = field(default_factory=dict)
    _flying: dict[Future, tuple[Item, str]] = field(default_factory=dict)
    _ended: "Queue[Future]" = field(default_factory=Queue)
    _kinds: dict[str, set[Hashable]] = field(default_factory=dict)
    _admitted: dict[str, bool] = field(default_factory=dict)
    _looked: float = -LOOK
    _last_seen: float = field(default_factory=monotonic)

    def run(self, items: Iterable[Item]) -> Iterator[tuple[Item, Result | Lost]]:
        """Every item once, with its result, in the order in which they end.

        Raises Deserted, and whatever `call` raises: an item's own failure must be a result.
        """
        self._waiting = dict.fromkeys(items)
        try:
            while self._waiting or self._flying:
                self._look()
                self._hand_out()
                try:
                    future = self._ended.get(timeout=LOOK)
                except Empty:
                    continue
                item, _ = self._flying.pop(future)
                yield item, _outcome(future)
        finally:
            self.client.cancel(list(self._flying))

    def _look(self) -> None:
        """See which workers there are, now and then."""
        if monotonic() - self._looked < LOOK:
            return
        self._looked = monotonic()
        present = set(self.client.nthreads())
        for address in present - set(self._admitted):
            self._admitted[address] = self.admit(address)
        self.workers = {address for address in present if self._admitted[address]}
        if self.workers:
            self._last_seen = monotonic()
        elif monotonic() - self._last_seen > self.patience:
            raise Deserted(f"no usable worker for {self.patience:g} s")

    def _hand_out(self) -> None:
        """One item to every worker that has none."""
        busy = {address for _, address in self._flying.values()}
        for address in self.workers - busy:
            if not self._waiting:
                return
            item = self._next(address)
            del self._waiting[item]
            self.started(item)
            future = self.client.submit(
                self.call, item, pure=False, workers=[address], allow_other_workers=True
            )
            self._flying[future] = item, address
            future.add_done_callback(self._ended.put)

    def _next(self, address: str) -> Item:
        """The first in order of a kind that is the worker's or nobody's; else, to help, any."""
        own = self._kinds.setdefault(address, set())
        others = set().union(*(self._kinds[name] for name in self.workers & set(self._kinds)))
        for item in self._waiting:
            kind = self.kind(item)
            if kind in own or kind not in others:
                own.add(kind)
                return item
        item = next(iter(self._waiting))
        own.add(self.kind(item))
        return item


def _outcome(future: Future) -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        return Lost(f"the worker was lost each of the {error.allowed_failures + 1} times")
