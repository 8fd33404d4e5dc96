"""So many clients that watch one run, each over a connection of its own, in one process; prints what each has seen."""

from __future__ import annotations

import argparse
import asyncio
import signal

import grpc

from neunets.service.v1 import service_pb2, service_pb2_grpc

# Connections to one address are otherwise shared within a process.
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))


async def watch(target: str, request: service_pb2.WatchRunRequest, seen: list[int], number: int) -> None:
    async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
        async for response in service_pb2_grpc.RunsStub(channel).Watch(request):
            seen[number] += response.HasField("event") + len(response.more)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("run")
    parser.add_argument("after", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("most", type=int)
    arguments = parser.parse_args()
    request = service_pb2.WatchRunRequest(name=arguments.run, after_seq=arguments.after, most=arguments.most)
    request.brief = arguments.most > 1
    seen = [0] * arguments.count
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(watch(arguments.target, request, seen, number)) for number in range(arguments.count)]
    while not all(seen) and not stop.is_set():
        await asyncio.sleep(0.05)
    print("all see it", flush=True)
    await stop.wait()
    print(*seen, flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
