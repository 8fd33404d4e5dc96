"""From data to predictions: registers DATA, has a network synthesized, downloads it, and runs it on raw images."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime

from neunets.service.v1 import service_pb2
from neunets_client import connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True, help="gRPC target of a running engine: 127.0.0.1:7390")
    parser.add_argument("--data", default="digits", help="as `neunets synthesize` takes it")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--images", type=Path, required=True, help="raw uint8 images, one after another")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and predictions.csv")
    given = parser.parse_args()
    with connect(given.server) as client:
        dataset = client.register(given.data)
        run = client.create(dataset.name, trials=given.trials)
        for response in client.watch(run.name):
            line = told(response.event)
            if line:
                print(line, flush=True)
        finished = client.get(run.name)
        if not finished.model:
            raise SystemExit(f"{run.name} has no model: {finished.reason}")
        client.download(finished.model, given.out)
    predict(given.out / "model.onnx", dataset.input.shape, given.images, given.out / "predictions.csv")


def told(event: service_pb2.RunEvent) -> str:
    """One line of an event of interest."""
    match event.WhichOneof("event"):
        case "state_changed":
            return service_pb2.RunState.Name(event.state_changed.to)
        case "search" if event.search.WhichOneof("event") == "ended":
            ended = event.search.ended
            return f"{ended.trial} ended: validation accuracy {ended.metrics['valid_accuracy']:.4f}"
        case "model_exported":
            return f"{event.model_exported.model} is exported"
        case _:
            return ""


def predict(model: Path, shape: Iterable[int], images: Path, out: Path) -> None:
    """Write one line an image of `shape` (H, W, C): the probabilities of the classes."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    x = np.fromfile(images, np.uint8).reshape(-1, *shape)
    probabilities, labels = session.run(["probabilities", "label"], {"image": x})
    np.savetxt(out, probabilities, fmt="%.9g", delimiter=",")
    print(f"{len(labels)} predictions in {out}, the first: {labels[0]}")


if __name__ == "__main__":
    main()
