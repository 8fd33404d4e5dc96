"""The LMDB environment: one writer thread with group commit, short reads, a map that grows."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from neunets.errors import Damaged, NeunetsError, StaleEpoch
from neunets_engine.disk import Reserve, disk_full, is_full
from neunets_engine.store.integrity import seal, unseal

__all__ = ["EPOCH_KEY", "SCHEMA_VERSION", "TABLES", "Environment", "Reader", "Writer"]

SCHEMA_VERSION: Final = 2  # Version 1 had no checksums.
EPOCH_KEY: Final = b"epoch"
LONGEST_KEY: Final = 511
TABLES: Final = (
    "meta", "runs", "trials", "events", "ledger", "metrics", "hashes", "requests", "datasets", "synthesizers",
    "condemned",
)  # fmt: skip
PLAIN: Final = "meta"  # Its values have no checksum, so that an engine of any version can read the schema's number.
FIRST_MAP_BYTES: Final = 64 << 20
# More jobs in one transaction do not make it faster: 100 puts cost about as much as one.
MAX_GROUP: Final = 256
OUT_OF_ADDRESSES: Final = 4  # The exit code of a process that can no longer map the store.
WRITER_FAILED: Final = 5  # The exit code of a process whose writer thread has met what nobody expected.
# Some ten transactions that pause runs.
RESERVE_BYTES: Final = 1 << 20

LOG: Final = logging.getLogger(__name__)

Result = TypeVar("Result")


class Reader:
    """Reads within one snapshot; values are copied out.

    LMDB's binding frees the slot of a read transaction in the reader table with the transaction object, not with its
    end, and the traceback of an error may keep objects for long. So nothing refers to the transaction after `end`.
    """

    def __init__(self, txn: Any, tables: dict[str, Any]) -> None:
        self._txn = txn
        self._tables = tables
        self._scans: list[Generator[tuple[bytes, bytes], None, None]] = []

    def get(self, table: str, key: bytes) -> bytes | None:
        """Raises: Damaged."""
        if not 0 < len(key) <= LONGEST_KEY:  # LMDB has none of the kind, and raises
            return None
        value: bytes | None = self._txn.get(key, db=self._tables[table])
        return None if value is None else self._open(table, key, value)

    def scan(self, table: str, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) with start <= key < end, in order. Raises: Damaged, also while it is read."""
        return self._tracked(self._forward(table, start, end))

    def scan_back(self, table: str, before: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Every (key, value) with key < `before` (None: all), last first. Raises: Damaged, also while it is read."""
        return self._tracked(self._backward(table, before))

    def end(self) -> None:
        """End the scans that were left early, then the transaction."""
        for scan in self._scans:
            scan.close()
        txn, self._txn = self._txn, None
        txn.abort()

    @staticmethod
    def _open(table: str, key: bytes, value: bytes) -> bytes:
        return value if table == PLAIN else unseal(key, value, table)

    def _tracked(self, scan: Generator[tuple[bytes, bytes], None, None]) -> Iterator[tuple[bytes, bytes]]:
        self._scans.append(scan)
        return scan

    def _forward(self, table: str, start: bytes, end: bytes) -> Generator[tuple[bytes, bytes], None, None]:
        cursor = self._txn.cursor(db=self._tables[table])
        try:
            if not cursor.set_range(start):
                return
            for key, value in cursor:
                if key >= end:
                    return
                yield key, self._open(table, key, value)
        finally:
            cursor.close()
            del cursor  # the frame may stay in a traceback

    def _backward(self, table: str, before: bytes | None) -> Generator[tuple[bytes, bytes], None, None]:
        cursor = self._txn.cursor(db=self._tables[table])
        try:
            found = cursor.last() if before is None or not cursor.set_range(before) else cursor.prev()
            if found:
                for key, value in cursor.iterprev():
                    yield key, self._open(table, key, value)
        finally:
            cursor.close()
            del cursor  # the frame may stay in a traceback


class Writer(Reader):
    """Writes within one transaction."""

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._txn.put(key, value if table == PLAIN else seal(key, value), db=self._tables[table])

    def delete(self, table: str, key: bytes) -> None:
        self._txn.delete(key, db=self._tables[table])

    def seal_all(self) -> None:
        """Give every record a checksum: those of schema version 1 have none."""
        for name in TABLES:
            if name != PLAIN:
                for key in [key for key, _ in self._txn.cursor(db=self._tables[name])]:
                    self.put(name, key, self._txn.get(key, db=self._tables[name]))


@dataclass(frozen=True, slots=True)
class _Task:
    work: Callable[[Writer], Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]

    def resolve(self, result: Any, error: BaseException | None) -> None:
        self.loop.call_soon_threadsafe(self._set, result, error)

    def _set(self, result: Any, error: BaseException | None) -> None:
        if self.done.cancelled():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)


class Environment:
    """Owns the LMDB files of one folder and the thread that writes them."""

    def __init__(self, folder: Path) -> None:
        """Raises: DiskFull."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._reserve = Reserve(folder / "reserve", RESERVE_BYTES)
        try:
            self._env = lmdb.open(str(folder), map_size=FIRST_MAP_BYTES, max_dbs=len(TABLES), max_readers=64)
            self._tables = {name: self._env.open_db(name.encode()) for name in TABLES}
        except lmdb.Error as error:
            raise self._refusal(error) from error
        self._reserve.take()
        # LMDB may not move its map under a reader: growing waits for reads, reads wait for growing.
        self._map_lock = threading.Lock()
        self._fence: tuple[int, Callable[[], None]] | None = None
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued, then close the files."""
        self._tasks.put(None)
        self._thread.join()
        self._env.close()

    def fence(self, epoch: int, fenced: Callable[[], None]) -> None:
        """From now on nothing is written once the store has another epoch; `fenced` is called in the writer thread."""
        self._fence = (epoch, fenced)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        with self._map_lock:
            reader = Reader(self._env.begin(), self._tables)
            try:
                yield reader
            except lmdb.Error as error:
                raise Damaged(f"the store in {self._folder} cannot be read: {error}") from error
            finally:
                reader.end()

    def reader_slots(self) -> int:
        """How many slots of LMDB's reader table this process has taken: one for each read at the same time."""
        rows = (line.split() for line in self._env.readers().splitlines())
        return sum(1 for row in rows if row and row[0] == str(os.getpid()))

    async def write(self, work: Callable[[Writer], Result]) -> Result:
        """Run `work` in the writer thread; returns once its transaction is durable.

        What `work` raises is raised here and undoes its own writes alone. `work` may run twice
        (the map was full), so it touches nothing but the store.

        Raises: DiskFull, if nothing of the transaction was kept.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._tasks.put(_Task(work, loop, done))
        # A cancelled caller must not leave its write half known: it is committed all the same.
        return await asyncio.shield(done)

    def _work(self) -> None:
        try:
            self._write_groups()
        except BaseException:  # the thread's outermost loop: without the thread, every write would wait for ever
            LOG.critical("the store's writer has failed, and the engine ends", exc_info=True)
            os._exit(WRITER_FAILED)

    def _write_groups(self) -> None:
        while (task := self._tasks.get()) is not None:
            group = [task]
            stop = False
            while len(group) < MAX_GROUP and not self._tasks.empty():
                following = self._tasks.get()
                if following is None:
                    stop = True
                    break
                group.append(following)
            self._commit(group)
            if stop:
                return

    def _commit(self, group: list[_Task]) -> None:
        while True:
            outcomes: list[tuple[_Task, Any, BaseException | None]] = []
            try:
                with self._env.begin(write=True) as txn:
                    self._check_fence(txn)
                    for task in group:
                        outcomes.append((task, *self._attempt(task, txn)))
                self._reserve.take()
                break
            except lmdb.MapFullError:
                self._grow()
            except StaleEpoch as stale:
                outcomes = [(task, None, stale) for task in group]
                break
            except lmdb.Error as fault:
                refusal = self._refusal(fault)
                outcomes = [(task, None, refusal) for task in group]
                break
        for task, result, error in outcomes:
            task.resolve(result, error)

    def _check_fence(self, txn: Any) -> None:
        """Raises: StaleEpoch."""
        if self._fence is None:
            return
        epoch, fenced = self._fence
        current = int(txn.get(EPOCH_KEY, db=self._tables["meta"]) or 0)
        if current != epoch:
            fenced()
            raise StaleEpoch(f"an engine of epoch {current} has taken over from this one, of epoch {epoch}")

    def _refusal(self, error: lmdb.Error) -> NeunetsError:
        """A write that a full disk cut short is an I/O error to LMDB; with the reserve given up, the next may fit."""
        if not isinstance(error, lmdb.DiskError) and not is_full(self._folder, error):
            return NeunetsError(f"the store in {self._folder} cannot write: {error}")
        full = disk_full(self._folder)
        self._reserve.give_up()
        return full

    def _attempt(self, task: _Task, txn: Any) -> tuple[Any, BaseException | None]:
        # A child transaction, so that one refused write does not undo its neighbours in the group.
        child = self._env.begin(write=True, parent=txn)
        try:
            result = task.work(Writer(child, self._tables))
        except lmdb.MapFullError:
            child.abort()
            raise
        except Exception as error:  # what `work` raises belongs to its caller, not to the writer thread
            child.abort()
            return None, error
        child.commit()
        return result, None

    def _grow(self) -> None:
        """Double the map. LMDB gives the old one up first, so where there is no room for the new one nothing can be
        read or written any more, and the process ends.
        """
        with self._map_lock:
            size = 2 * self._env.info()["map_size"]
            try:
                self._env.set_mapsize(size)
            except lmdb.Error as error:
                fix = "raise the limit on address space (ulimit -v) and start the engine again"
                LOG.critical("the store needs %d MB of address space: %s; %s", size >> 20, error, fix)
                os._exit(OUT_OF_ADDRESSES)
