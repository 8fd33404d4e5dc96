"""A worker that trains nothing: it ends each trial at once, with an accuracy drawn from the trial's seed."""

from __future__ import annotations

import argparse
import os
import random

import grpc

from neunets.process import die_with_parent
from neunets.sockets import channel_options
from neunets.worker.v1 import worker_pb2, worker_pb2_grpc

DEADLINE_S = 60.0
MOST_JOBS = 64


def ended(worker: str, job: worker_pb2.Job, weights: worker_pb2.PutArtifactResponse) -> worker_pb2.CompleteRequest:
    request = worker_pb2.CompleteRequest(worker=worker, trial=job.trial, attempt=job.attempt, device_s=1e-3)
    request.outcome = worker_pb2.CompleteRequest.OUTCOME_SUCCEEDED
    request.metrics["valid_accuracy"] = random.Random(job.seed).random()
    request.artifacts["weights"].CopyFrom(weights.ref)
    return request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--worker", required=True)
    parser.add_argument("--device")
    parser.add_argument("--memory-bytes", type=int)
    arguments = parser.parse_args()
    if os.environ.get("NEUNETS_PARENT_DEATH") == "1":
        die_with_parent()
    with grpc.insecure_channel(arguments.engine, channel_options(arguments.engine)) as channel:
        engine = worker_pb2_grpc.TrainerStub(channel)
        nothing = iter([worker_pb2.PutArtifactRequest(media_type="application/octet-stream", data=b"nothing")])
        weights = engine.PutArtifact(nothing, timeout=DEADLINE_S, wait_for_ready=True)
        wanted = worker_pb2.LeaseRequest(worker=arguments.worker, device=arguments.device, most=MOST_JOBS)
        wanted.wait.FromSeconds(10)
        while True:
            answer = engine.Lease(wanted, timeout=DEADLINE_S)
            if answer.HasField("job"):
                done = [ended(arguments.worker, job, weights) for job in (answer.job, *answer.more)]
                engine.CompleteMany(worker_pb2.CompleteManyRequest(ended=done), timeout=DEADLINE_S)


if __name__ == "__main__":
    main()
