"""Which runs are driven now, and with which plugins."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from neunets.errors import Busy, IllegalTransition, InvalidRequest, NeunetsError, NotFound, NotReady, UnsupportedProblem
from neunets.graph.v1 import graph_pb2
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets_engine import experiments
from neunets_engine.admission import Rules
from neunets_engine.disk import DiskFull
from neunets_engine.intake import Kin
from neunets_engine.kept import signal_name
from neunets_engine.lifecycle import ACTIVE, FINAL, State
from neunets_engine.plugins import (
    ChildProcess,
    Enrolments,
    Fault,
    Link,
    ListedProcess,
    Manifest,
    Plugin,
    PluginHost,
    PluginSession,
    SettingsCheck,
    settings_of,
    sweep_sockets,
)
from neunets_engine.resources import Resources
from neunets_engine.setting import Setting
from neunets_engine.synthesis import Synthesis
from neunets_engine.words import pausing_words

__all__ = ["Supervisor"]

LOG: Final = logging.getLogger(__name__)
# Lines of a plugin's output that a run's log keeps; the plugin's own log file has them all.
LINES_A_RUN: Final = 200
REASON_LETTERS: Final = 1024
# A plugin has this long to start, and to say whether it can work on a problem.
CHECK_S: Final = 120.0
# Between two looks whether a full disk has room again.
ROOM_EVERY_S: Final = 0.2


class Supervisor:
    """Owns the tasks of the runs and the processes of the plugins."""

    def __init__(
        self,
        resources: Resources,
        manifests: Mapping[str, Manifest],
        enrolments: Enrolments,
        folder: Path,
        endpoint: str,
        epoch: int,
    ) -> None:
        """`folder`: for the plugins' sockets; `endpoint`: of the plugin host."""
        self._enrolments = enrolments
        self._resources = resources
        self._manifests = manifests
        self._folder = folder
        self._endpoint = endpoint
        self._epoch = epoch
        sweep_sockets(folder)
        self._plugins: dict[str, Plugin] = {}
        self._runs: dict[str, tuple[Synthesis, asyncio.Task[None]]] = {}
        self._lines: dict[str, int] = {}
        self._settings = SettingsCheck()
        self._chores: set[asyncio.Task[None]] = set()
        self.host = PluginHost(
            self.rules, self.network, partial(experiments.query, resources.store), drains=self._is_draining
        )

    def plugin_names(self) -> list[str]:
        return sorted({*self._manifests, *self._enrolments.names()})

    def listing(self) -> str:
        """All synthesizers with their states, for people."""
        plugins = [self.plugin(name) for name in self.plugin_names()]
        shown = [f"{plugin.name} {plugin.shown_state().value} {plugin.link.endpoint()}".strip() for plugin in plugins]
        return ", ".join(shown) or "none"

    def manifest(self, name: str) -> Manifest:
        """Raises: NotFound; IllegalTransition where somebody else starts it."""
        self.plugin(name)
        if name not in self._manifests or self._manifests[name].tls is not None:
            text = f"{name} runs on another host: run neunets-conform there"
            raise IllegalTransition(text, state="REMOTE")
        return self._manifests[name]

    def plugin(self, name: str) -> Plugin:
        """Raises: NotFound, which says what is installed."""
        if name not in self.plugin_names():
            raise NotFound(f"no synthesizer {name!r} is installed: there is {', '.join(self.plugin_names()) or 'none'}")
        if name not in self._plugins:
            plugin = Plugin(name, self._link(name), partial(self._tell_fault, name))
            plugin.is_draining = self._resources.store.synthesizers.is_draining(name)
            self._plugins[name] = plugin
        return self._plugins[name]

    def _is_draining(self, name: str) -> bool:
        return name in self._plugins and self._plugins[name].is_draining

    def _link(self, name: str) -> Link:
        if name not in self._manifests:
            return self._enrolments.link(name)

        if self._manifests[name].endpoint:
            return ListedProcess(self._manifests[name])

        def relay(text: str) -> None:
            self._relay(name, text)

        return ChildProcess(self._manifests[name], self.host, self._folder / name, self._endpoint, relay)

    def pids(self) -> list[int]:
        return [pid for plugin in self._plugins.values() if (pid := plugin.link.pid()) is not None]

    def rules(self, run: str) -> Rules:
        """Of a run, by its id."""
        return Setting.of(self._resources.store, run.removeprefix("runs/")).rules()

    def network(self, run: str, candidate: str) -> graph_pb2.Graph:
        """Of a candidate that a run has admitted. Raises: NotFound."""
        run_id = run.removeprefix("runs/")
        kin = self._runs[run_id][0].kin if run_id in self._runs else Kin(run_id, self._resources.store)
        trial = kin.of(candidate)
        if trial is None:
            raise NotFound(f"runs/{run_id} has admitted no candidate {candidate!r}")
        return trial.graph

    async def check(self, spec: service_pb2.RunSpec) -> service_pb2.Dataset:
        """Everything that can be refused before a run is kept.

        Raises: InvalidRequest, NotFound, UnsupportedProblem, NotReady; IllegalTransition where the data are damaged.
        """
        try:
            dataset = self._resources.store.dataset(spec.dataset)
            plugin = self.plugin(spec.synthesizer)
        except NotFound as error:
            field = "spec.dataset" if "data set" in error.message else "spec.synthesizer"
            raise InvalidRequest(field, error.message) from error
        await asyncio.to_thread(self._resources.data.check, dataset)
        setting = Setting(spec, dataset)
        setting.check(self._resources.slots)
        if plugin.link.is_leaving():
            raise IllegalTransition(f"{spec.synthesizer} wants no new runs: choose another", state="DRAINING")
        if plugin.is_draining:
            text = f"{spec.synthesizer} is draining: `neunets synthesizers drain {spec.synthesizer} --resume`"
            raise IllegalTransition(f"{text}, or choose another", state="DRAINING")
        try:
            async with asyncio.timeout(CHECK_S):
                await self._ask(spec, setting, plugin)
        except TimeoutError:
            text = f"synthesizer {spec.synthesizer} has not answered within {CHECK_S:g} s whether it can work on this"
            raise NotReady(text) from None
        return dataset

    async def _ask(self, spec: service_pb2.RunSpec, setting: Setting, plugin: Plugin) -> None:
        """Whether the plugin can work on this."""
        await plugin.channel()
        self._check_place(spec, setting.dataset, plugin)
        await self._check_settings(spec, plugin)
        session = PluginSession(plugin, setting.opening("check", self._epoch, self._resources.slots), lambda after: [])
        await session.check()

    def start(self, run_id: str, interrupted: bool) -> None:
        """Drive a run from where it stands. `interrupted`: the engine before this one died under it.

        Raises: NotFound if its synthesizer is not installed any more.
        """
        synthesis = self._synthesis(run_id)
        self._resources.clock.start(run_id, interrupted)
        task = asyncio.create_task(self._drive(run_id, synthesis), name=run_id)
        self._runs[run_id] = (synthesis, task)
        task.add_done_callback(lambda _: self._forget(run_id, synthesis))

    def _forget(self, run_id: str, synthesis: Synthesis) -> None:
        self._runs.pop(run_id, None)
        name = synthesis.synthesizer
        if (plugin := self._plugins.get(name)) is not None and plugin.is_draining:
            self._do(self._end_drained(name))

    async def take_up(self, run_id: str) -> None:
        """Go on with a run that an engine before this one left; without its synthesizer or its data it is PAUSED."""
        try:
            await self._check_data(run_id)
            self.start(run_id, interrupted=True)
        except (NotFound, IllegalTransition) as error:
            await self._resources.store.move(run_id, State.PAUSED, pausing_words(run_id, error.message))

    async def stop_run(self, run_id: str, mode: service_pb2.StopRunRequest.Mode.ValueType) -> store_pb2.RunRecord:
        """Raises: IllegalTransition where the run has ended; NotFound if its synthesizer is not installed any more."""
        self.plugin(self._resources.store.run(run_id).run.spec.synthesizer)
        await self._settle(run_id)
        record = await self._resources.store.request_stop(run_id, mode)
        if State(record.run.state) is State.STOPPED:
            return record
        if run_id in self._runs:
            self._runs[run_id][0].wake()
        else:
            self.start(run_id, interrupted=False)
        return record

    async def _check_data(self, run_id: str) -> None:
        """Raises: IllegalTransition where they are damaged."""
        dataset = self._resources.store.dataset(self._resources.store.run(run_id).run.spec.dataset)
        await asyncio.to_thread(self._resources.data.check, dataset)

    async def resume_run(self, run_id: str) -> store_pb2.RunRecord:
        """Raises: IllegalTransition where the run is neither paused nor left by an engine, or its data are damaged;
        NotFound as `stop_run`.
        """
        await self._settle(run_id)
        record = self._resources.store.run(run_id)
        if run_id in self._runs:
            return record
        await self._check_data(run_id)
        plugin = self.plugin(record.run.spec.synthesizer)
        if State(record.run.state) not in ACTIVE:
            record = await self._resources.store.resume(run_id)
        plugin.pardon()
        self.start(run_id, interrupted=False)
        return record

    async def update_budget(self, request: service_pb2.UpdateBudgetRequest, run_id: str) -> store_pb2.RunRecord:
        """Raises: InvalidRequest, IllegalTransition, Outdated."""
        await self._settle(run_id)
        store, slots = self._resources.store, self._resources.slots
        if not request.HasField("wall_s") and not request.HasField("trials"):
            raise InvalidRequest("wall_s", "say what changes: wall_s, trials, or both")
        spec = service_pb2.RunSpec()
        spec.CopyFrom(store.run(run_id).run.spec)
        if request.HasField("wall_s"):
            spec.wall_s = request.wall_s
        if request.HasField("trials"):
            spec.trials = request.trials
        setting = Setting(spec, store.dataset(spec.dataset))
        setting.check(slots)
        record = await store.update_budget(run_id, request.etag, spec, setting.plan(slots).message(0.0, 0, None))
        if run_id in self._runs:
            self._runs[run_id][0].amend()
        return record

    async def inject(self, request: service_pb2.InjectCandidateRequest, run_id: str) -> tuple[str, str]:
        """(candidate, trial) of a user's own network. Raises: InvalidRequest, IllegalTransition."""
        if not request.request_id:
            raise InvalidRequest("request_id", "a UUID is needed, so that a repeated call injects once")
        await self._settle(run_id)
        record = self._resources.store.run(run_id)
        candidate = synthesizer_pb2.Candidate(recipe=request.recipe, rationale=request.rationale or "a user's own")
        if request.HasField("graph"):
            candidate.graph.CopyFrom(request.graph)
            if not candidate.graph.HasField("input"):
                candidate.graph.input.CopyFrom(self._resources.store.dataset(record.run.spec.dataset).input)
        if run_id not in self._runs:
            state = State(record.run.state).name
            hint = "resume it first" if record.run.state == State.PAUSED.value else "start another run"
            raise IllegalTransition(f"{record.run.name} is {state}: {hint}", state=state)
        trial = await self._runs[run_id][0].inject(candidate, request.request_id)
        return self._resources.store.trial(run_id, trial).candidate, trial

    async def delete_run(self, run_id: str, etag: str) -> None:
        """Raises: IllegalTransition, Outdated."""
        await self._settle(run_id)
        if run_id not in self._runs and self._resources.scheduler.is_open(run_id):
            raise IllegalTransition(f"a model of runs/{run_id} is being picked: wait for it", state="PICKING")
        await self._resources.store.delete_run(run_id, etag)
        if not self._runs:  # else one may keep again, at this moment, what is to go: the next start sweeps
            await self._resources.store.sweep(self._resources.artifacts.remove)

    async def drain(self, name: str, is_draining: bool) -> Plugin:
        """Give no new runs to a synthesizer, and end its process once it has none; or give it runs again."""
        plugin = self.plugin(name)
        await self._resources.store.synthesizers.set_draining(name, is_draining)
        plugin.is_draining = is_draining
        await self._end_drained(name)
        return plugin

    async def enrol(self, name: str, life_s: float | None) -> service_pb2.EnrollSynthesizerResponse:
        """Raises: InvalidRequest, IllegalTransition."""
        if name in self._manifests:
            raise InvalidRequest("name", f"{name!r} is installed here: choose another name")
        return await self._enrolments.enrol(name, life_s)

    def open_runs(self, name: str) -> int:
        return sum(self._resources.store.run(run_id).run.spec.synthesizer == name for run_id in self._runs)

    async def _end_drained(self, name: str) -> None:
        plugin = self._plugins.get(name)
        if plugin is not None and plugin.is_draining and not self.open_runs(name):
            await plugin.stop()

    async def _settle(self, run_id: str) -> None:
        """Wait for the task of a run that it has left already: nobody else may drive the run before."""
        if run_id in self._runs and State(self._resources.store.run(run_id).run.state) not in ACTIVE:
            await asyncio.wait([self._runs[run_id][1]])

    async def close(self) -> None:
        """Leave every run where it is: the next engine takes it up."""
        tasks = [task for _, task in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for plugin in self._plugins.values():
            await plugin.stop()

    async def _drive(self, run_id: str, synthesis: Synthesis) -> None:
        try:
            await synthesis.drive()
        except DiskFull as error:
            await self._pause(run_id, error.message)
        except Exception as error:  # the outermost loop of a run: what nobody expected fails the run, not the engine
            LOG.exception("run %s", run_id)
            if State(self._resources.store.run(run_id).run.state) not in FINAL:
                reason = error.message if isinstance(error, NeunetsError) else f"a fault of the engine: {error!r}"
                try:
                    await self._resources.store.move(run_id, State.FAILED, reason)
                except NeunetsError:
                    LOG.exception("run %s", run_id)

    async def _pause(self, run_id: str, why: str) -> None:
        """The disk has had no room even for the pause: it is tried until it has."""
        while True:
            try:
                await self._resources.clock.stop(run_id)
                await self._resources.store.move(run_id, State.PAUSED, pausing_words(run_id, why))
            except DiskFull:
                await asyncio.sleep(ROOM_EVERY_S)
            else:
                return

    def _synthesis(self, run_id: str) -> Synthesis:
        store, slots = self._resources.store, self._resources.slots
        setting = Setting.of(store, run_id)
        plugin = self.plugin(setting.spec.synthesizer)

        def events(after: int) -> list[synthesizer_pb2.Event]:
            return store.search_events(run_id, after)

        session = PluginSession(plugin, setting.opening(run_id, self._epoch, slots), events)
        return Synthesis(run_id, setting, session, plugin, self._resources)

    def _check_place(self, spec: service_pb2.RunSpec, dataset: service_pb2.Dataset, plugin: Plugin) -> None:
        """Raises: UnsupportedProblem, Busy, by what the plugin says of itself."""
        known = plugin.description or synthesizer_pb2.DescribeResponse()
        if known.tasks and dataset.task not in known.tasks:
            raise UnsupportedProblem(f"{spec.synthesizer} knows {', '.join(known.tasks)}, and not {dataset.task}")
        if known.max_open_runs and self.open_runs(spec.synthesizer) >= known.max_open_runs:
            text = f"{spec.synthesizer} works on {known.max_open_runs} runs at a time: wait for one, or choose another"
            raise Busy(text)

    async def _check_settings(self, spec: service_pb2.RunSpec, plugin: Plugin) -> None:
        schema = plugin.description.settings_schema_json if plugin.description else ""
        await self._settings.check(spec.synthesizer, schema, settings_of(spec))

    def _tell_fault(self, name: str, fault: Fault) -> None:
        """Every run that it works on keeps the fault as an event."""
        event = service_pb2.SynthesizerFault(
            synthesizer=name, reason=fault.reason[:REASON_LETTERS], faults=fault.number
        )
        if fault.ending is not None:
            event.output.extend(fault.ending.output)
            if fault.ending.code >= 0:
                event.exit_code = fault.ending.code
            else:
                event.signal = signal_name(-fault.ending.code)
        for run_id, (synthesis, _) in self._runs.items():
            if synthesis.synthesizer == name:
                self._do(self._resources.store.record_fault(run_id, event))

    def _do(self, chore: Coroutine[None, None, None]) -> None:
        """Something beside a run, which it does not wait for; without room, or without the run, it is left out."""

        async def done() -> None:
            with contextlib.suppress(NeunetsError):
                await chore

        task = asyncio.create_task(done())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    def _relay(self, name: str, text: str) -> None:
        for run_id in list(self._runs):
            if self._resources.store.run(run_id).run.spec.synthesizer != name:
                continue
            self._lines[run_id] = self._lines.get(run_id, 0) + 1
            if self._lines[run_id] <= LINES_A_RUN:
                self._do(self._resources.store.log(run_id, "plugin", "info", text))
