"""Synthesizers on another host, as far as one machine can tell: enrolment, mutual TLS, leases, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import psutil
import pytest
from cryptography import x509

from engines import engine, follow, processes
from neunets.errors import IllegalTransition, InvalidRequest, PermissionDenied, PluginUnavailable, Unauthenticated
from neunets.service.v1 import service_pb2, service_pb2_grpc
from neunets.status import rpc_error
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_client.client import Client
from neunets_client.connection import Connection
from neunets_engine.plugins.authority import Authority, ends_at

DEADLINE_S = 30.0
ENGINE_NAME = "engine.neunets"
ROOT = Path(__file__).resolve().parents[2]


def free_address() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def enrol(connection: Connection, folder: Path, name: str = "far", life_s: float | None = None) -> Path:
    """As the command of the same name writes it."""
    request = service_pb2.EnrollSynthesizerRequest(name=name, life_s=life_s)
    try:
        answer = service_pb2_grpc.SynthesizersStub(connection.channel).Enroll(request, timeout=DEADLINE_S)
    except grpc.RpcError as raw:
        raise rpc_error(raw) from raw
    folder.mkdir()
    for file, data in {**answer.files, "token": answer.token.encode(), "host": answer.host.encode()}.items():
        (folder / file).write_bytes(data)
    return folder


@contextmanager
def running(enrolment: Path, address: str, command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A synthesizer that is nobody's child but this test's."""
    with started(enrolment / "log", command, NEUNETS_ENROLMENT=str(enrolment), NEUNETS_LISTEN=address) as process:
        yield process


@contextmanager
def started(log_file: Path, command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log_file.open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def ended(client: Client, run: str, count: int) -> None:
    """Until so many trials of the run have ended."""
    for response in client.watch(run):
        if response.run.trials_ended >= count:
            return
    raise AssertionError(f"it ended: {client.get(run).reason}")


def killed(home: Path) -> None:
    """The engine that works on `home` is gone without a word."""
    engines = processes(home)
    for process in engines:
        process.kill()
    psutil.wait_procs(engines)


class Far:
    """An engine that other hosts may call."""

    def __init__(self, home: Path) -> None:
        self.home, self.address = home, free_address()

    @contextmanager
    def up(self, *options: str) -> Iterator[Connection]:
        with engine(self.home, "--plugin-listen", self.address, *options) as connection:
            yield connection

    def register(
        self, files: Mapping[str, bytes] | None, token: str, endpoint: str
    ) -> synthesizer_pb2.RegisterResponse:
        """With the certificate of `files`; None: in the clear. Raises: what the engine answers."""
        if files is None:
            channel = grpc.insecure_channel(self.address)
        else:
            credentials = grpc.ssl_channel_credentials(files["ca.pem"], files["key.pem"], files["cert.pem"])
            channel = grpc.secure_channel(self.address, credentials, [("grpc.ssl_target_name_override", ENGINE_NAME)])
        request = synthesizer_pb2.RegisterRequest(token=token, endpoint=endpoint, protocol_majors=[1])
        request.self.name = "far"
        with channel:
            try:
                return synthesizer_pb2_grpc.PluginHostStub(channel).Register(request, timeout=DEADLINE_S)
            except grpc.RpcError as raw:
                raise rpc_error(raw) from raw


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path / "home")


@pytest.fixture(
    params=["python", pytest.param("go", marks=pytest.mark.slow), pytest.param("typescript", marks=pytest.mark.slow)]
)
def command(request: pytest.FixtureRequest) -> list[str]:
    """That starts a synthesizer in this language."""
    if request.param == "python":
        return [sys.executable, str(ROOT / "tests/synthesizers.py"), "good", "none"]
    tool, example = {"go": ("go", "go-hillclimb"), "typescript": ("npm", "ts-random")}[request.param]
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    folder = ROOT / "plugins/examples" / example
    subprocess.run(["make", "--no-print-directory", "-C", folder, "build"], check=True)
    return [str(folder / example)] if request.param == "go" else ["node", str(folder / "dist/main.js")]


def files_of(enrolment: Path) -> dict[str, bytes]:
    return {name: (enrolment / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem")}


def test_a_run_survives_its_synthesizer_and_its_engine(
    far: Far, command: Sequence[str], images: Path, tmp_path: Path
) -> None:
    address = free_address()
    with far.up() as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        enrolment = enrol(connection, tmp_path / "far")
        with running(enrolment, address, command):
            run = client.create(dataset.name, synthesizer="far", trials=9).name
            ended(client, run, 2)
        with running(enrolment, address, command):
            ended(client, run, 4)
            killed(far.home)
            with far.up() as after:
                history = follow(Client(after), run)
    assert history.state == "COMPLETED"
    assert history.run.trials_ended == 9
    assert len(set(history.candidates())) == 9


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
def test_it_asks_the_engine_for_networks(far: Far, images: Path, tmp_path: Path) -> None:
    folder = ROOT / "plugins/examples/go-evolve"
    subprocess.run(["make", "--no-print-directory", "-C", folder, "build"], check=True)
    with far.up() as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        enrolment = enrol(connection, tmp_path / "far")
        with running(enrolment, free_address(), [str(folder / "go-evolve")]):
            history = follow(client, client.create(dataset.name, synthesizer="far", trials=4).name)
            models = client.models(history.run.name)
            assert any("inherited_delta" in model.result.metrics for model in models)
    assert history.state == "COMPLETED"
    assert history.rejections() == []


@pytest.mark.slow
def test_it_may_stand_still_for_half_a_minute(far: Far, command: Sequence[str], images: Path, tmp_path: Path) -> None:
    with far.up() as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        enrolment = enrol(connection, tmp_path / "far")
        with running(enrolment, free_address(), command) as process:
            run = client.create(dataset.name, synthesizer="far", trials=6).name
            ended(client, run, 2)
            process.send_signal(signal.SIGSTOP)
            time.sleep(30.0)  # what is tested is the time itself
            process.send_signal(signal.SIGCONT)
            assert follow(client, run).state == "COMPLETED"


@pytest.mark.slow
def test_its_certificate_is_renewed_before_it_ends(
    far: Far, command: Sequence[str], images: Path, tmp_path: Path
) -> None:
    with far.up("--certificate-life", "15") as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        enrolment = enrol(connection, tmp_path / "far")
        first = ends_at((enrolment / "cert.pem").read_bytes())
        with running(enrolment, free_address(), command):
            ended(client, client.create(dataset.name, synthesizer="far", trials=1).name, 1)
            deadline = time.monotonic() + 60
            while ends_at((enrolment / "cert.pem").read_bytes()) <= first and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(max(0.0, first - time.time()))  # the first certificate is over
            run = client.create(dataset.name, synthesizer="far", trials=1).name
            assert follow(client, run).state == "COMPLETED"


def test_strangers_are_refused_each_with_its_code(far: Far, tmp_path: Path) -> None:
    here, there = "127.0.0.1:7501", "127.0.0.1:7502"
    with far.up() as connection:
        enrolment = enrol(connection, tmp_path / "far")
        files, token = files_of(enrolment), (enrolment / "token").read_text()
        with pytest.raises(PluginUnavailable):
            far.register(None, token, here)
        other = Authority(tmp_path / "other")
        stranger = other.plugin("far.neunets", timedelta(days=1))
        with pytest.raises(PluginUnavailable):
            far.register({**files, "cert.pem": stranger.certificate, "key.pem": stranger.key}, token, here)
        with pytest.raises(Unauthenticated, match="another enrolment token"):
            far.register(files, "guessed", here)
        with pytest.raises(InvalidRequest, match="endpoint"):
            far.register(files, token, "unix:/tmp/x")
        assert far.register(files, token, here).plugin == "far"
        assert far.register(files, token, here).plugin == "far"
        with pytest.raises(Unauthenticated, match="used already"):
            far.register(files, token, there)
        late = enrol(connection, tmp_path / "late", "late", life_s=1e-3)
        with pytest.raises(Unauthenticated, match="expired"):
            far.register(files_of(late), (late / "token").read_text(), here)
        again = enrol(connection, tmp_path / "again")
        with pytest.raises(PermissionDenied, match="belongs to no enrolment"):
            far.register(files, token, here)
        assert far.register(files_of(again), (again / "token").read_text(), there).plugin == "far"


def test_a_refused_synthesizer_says_why_and_ends(
    far: Far, command: Sequence[str], images: Path, tmp_path: Path
) -> None:
    with far.up() as connection:
        late = enrol(connection, tmp_path / "late", "late", life_s=1e-3)
        with running(late, free_address(), command) as process:
            assert process.wait(DEADLINE_S) == 1
        assert "expired" in (late / "log").read_text()
        client, enrolment = Client(connection), enrol(connection, tmp_path / "far")
        dataset = client.register(str(images), seed=0)
        with running(enrolment, free_address(), command):
            ended(client, client.create(dataset.name, synthesizer="far", trials=1).name, 1)
        with running(enrolment, free_address(), command) as process:
            assert process.wait(DEADLINE_S) == 1
        assert "used already" in (enrolment / "log").read_text()


def test_a_synthesizer_answers_the_engine_alone(far: Far, command: Sequence[str], images: Path, tmp_path: Path) -> None:
    address = free_address()
    with far.up() as connection:
        client, enrolment = Client(connection), enrol(connection, tmp_path / "far")
        dataset = client.register(str(images), seed=0)
        neighbour = files_of(enrol(connection, tmp_path / "near", "near"))
        with running(enrolment, address, command):
            ended(client, client.create(dataset.name, synthesizer="far", trials=1).name, 1)
            own = x509.load_pem_x509_certificate((enrolment / "cert.pem").read_bytes())
            names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            options = [("grpc.ssl_target_name_override", names.get_values_for_type(x509.DNSName)[0])]
            shown = grpc.ssl_channel_credentials(neighbour["ca.pem"], neighbour["key.pem"], neighbour["cert.pem"])
            for channel in (grpc.secure_channel(address, shown, options), grpc.insecure_channel(address)):
                stub = synthesizer_pb2_grpc.SynthesizerStub(channel)
                with channel, pytest.raises(grpc.RpcError) as raised:
                    stub.Describe(synthesizer_pb2.DescribeRequest(), timeout=DEADLINE_S)
                assert isinstance(rpc_error(raised.value), PermissionDenied | PluginUnavailable)


@pytest.mark.parametrize("is_secure", [False, True])
def test_an_address_that_the_operator_lists_is_called(
    far: Far, command: Sequence[str], images: Path, tmp_path: Path, is_secure: bool
) -> None:
    address, environment, manifest = free_address(), {}, tmp_path / "plugin.toml"
    text = f'name = "listed"\nendpoint = "{address}"\n'
    if is_secure:
        authority = Authority(tmp_path / "authority")
        for name in ("listed.neunets", "engine.neunets"):
            files = authority.plugin(name, timedelta(days=1))
            (tmp_path / name).mkdir()
            (tmp_path / name / "ca.pem").write_bytes(authority.certificate)
            (tmp_path / name / "cert.pem").write_bytes(files.certificate)
            (tmp_path / name / "key.pem").write_bytes(files.key)
        text += 'tls = "engine.neunets"\nhost_name = "listed.neunets"\n'
        environment = {"NEUNETS_TLS": str(tmp_path / "listed.neunets")}
    manifest.write_text(text)
    with far.up("--plugin", str(manifest)) as connection:
        client = Client(connection)
        dataset = client.register(str(images), seed=0)
        with started(tmp_path / "log", command, NEUNETS_LISTEN=address, **environment):
            run = client.create(dataset.name, synthesizer="listed", trials=6).name
            ended(client, run, 2)
        with started(tmp_path / "log", command, NEUNETS_LISTEN=address, **environment):
            assert follow(client, run).state == "COMPLETED"


def test_nothing_is_open_to_other_machines_without_encryption(command: Sequence[str], tmp_path: Path) -> None:
    with started(tmp_path / "log", command, NEUNETS_LISTEN="0.0.0.0:7411") as process:
        assert process.wait(DEADLINE_S) == 2
    assert "NEUNETS_TLS" in (tmp_path / "log").read_text()


def test_an_engine_for_this_machine_alone_enrols_nobody(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(IllegalTransition, match="--plugin-listen"):
        enrol(connection, tmp_path / "far")


@pytest.mark.parametrize(("name", "life_s"), [("Far", None), ("", None), ("random", None), ("far", 0.0), ("far", 1e9)])
def test_a_bad_enrolment_is_refused(far: Far, tmp_path: Path, name: str, life_s: float | None) -> None:
    with far.up() as connection, pytest.raises(InvalidRequest):
        enrol(connection, tmp_path / "far", name, life_s)
