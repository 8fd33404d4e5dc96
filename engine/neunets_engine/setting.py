"""What a run works on, its specification and its data: as rules, as a plan, and as the contract that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2
from neunets.synthesizer.v1 import synthesizer_pb2
from neunets.wire import input_from_proto
from neunets_engine.admission import Rules
from neunets_engine.budget import BudgetPlan
from neunets_engine.export import IR_VERSION, OPSET
from neunets_engine.recipes import keeps_class, schema_json, usual_values
from neunets_engine.store import DEFAULT_METRIC, Store

__all__ = ["METRICS", "Setting"]

METRICS: Final = (DEFAULT_METRIC, "valid_balanced_accuracy", "valid_macro_f1")


@dataclass(frozen=True, slots=True)
class Setting:
    spec: service_pb2.RunSpec
    dataset: service_pb2.Dataset

    @staticmethod
    def of(store: Store, run_id: str) -> Setting:
        """As it is known now."""
        spec = store.run(run_id).run.spec
        return Setting(spec, store.dataset(spec.dataset))

    def check(self, slots: int) -> None:
        """Raises: InvalidRequest, which names the field."""
        self.plan(slots)
        if self.spec.HasField("max_params") and self.spec.max_params < 1:
            raise InvalidRequest("spec.max_params", "at least 1 parameter is needed")
        if self.metric not in METRICS:
            raise InvalidRequest("spec.metric", f"{self.metric!r} is none of {', '.join(METRICS)}")
        if self.spec.mirror == service_pb2.RunSpec.MIRROR_YES and not self.is_image:
            raise InvalidRequest("spec.mirror", f"{self.dataset.task}: only images can be mirrored")

    @property
    def metric(self) -> str:
        return self.spec.metric or DEFAULT_METRIC

    @property
    def is_image(self) -> bool:
        return len(self.dataset.input.shape) == 3

    @property
    def wants_mirror_measured(self) -> bool:
        """Nobody knows yet whether mirrored images keep their class."""
        return self.is_image and keeps_class(self.spec, self.dataset) is None

    def rules(self) -> Rules:
        max_params = self.spec.max_params if self.spec.HasField("max_params") else None
        classes, mirrored = len(self.dataset.classes), keeps_class(self.spec, self.dataset)
        return Rules(input_from_proto(self.dataset.input), classes, max_params, mirrored)

    def plan(self, slots: int) -> BudgetPlan:
        """Raises: InvalidRequest."""
        return BudgetPlan.of(self.spec, slots, self.dataset.train_rows, self.dataset.test_rows)

    def problem(self) -> synthesizer_pb2.Problem:
        dataset = self.dataset
        problem = synthesizer_pb2.Problem(
            task=dataset.task,
            input=dataset.input,
            dataset=synthesizer_pb2.DatasetProfile(
                train_rows=dataset.train_rows,
                valid_rows=dataset.valid_rows,
                classes=len(dataset.classes),
                meta_features=dataset.meta_features,
                sha256=dataset.sha256,
                class_rows=dataset.class_rows,
                mirror_keeps_class=keeps_class(self.spec, dataset),
            ),
            objectives=[synthesizer_pb2.Objective(metric=self.metric, maximize=True)],
            onnx_opset=OPSET,
            onnx_ir_max=IR_VERSION,
            recipe_schema_json=schema_json(usual_values(self.spec, dataset, 0.0, has_norm=True), self.is_image),
        )
        if self.spec.HasField("max_params"):
            problem.constraints.add(metric="params", max=float(self.spec.max_params), hard=True)
        return problem

    def opening(self, run_id: str, epoch: int, slots: int) -> synthesizer_pb2.OpenRequest:
        """The initialization contract. `epoch`: the engine's, which fences."""
        return synthesizer_pb2.OpenRequest(
            call=synthesizer_pb2.Call(run=run_id, epoch=epoch, request_id=f"open-{run_id}"),
            problem=self.problem(),
            budget=self.plan(slots).message(0.0, 0, None),
            settings=self.spec.settings,
            seed=self.spec.seed,
        )
