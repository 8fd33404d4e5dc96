"""Synthesizers of other hosts: tokens and certificates for them, and what they call the engine for."""

from __future__ import annotations

import datetime
import hashlib
import re
import secrets
import time
from typing import Any, Final

import grpc

from neunets.errors import IllegalTransition, InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from neunets.service.v1 import service_pb2
from neunets.store.v1 import store_pb2
from neunets.synthesizer.v1 import synthesizer_pb2, synthesizer_pb2_grpc
from neunets_engine.plugins.authority import Authority, Credentials, ends_at, public_key_of
from neunets_engine.plugins.catalog import NAME
from neunets_engine.plugins.host import LEASE_S, PROTOCOL_MAJOR, SELF_UNSET, PluginHost
from neunets_engine.plugins.remote import RemoteProcess
from neunets_engine.store import SynthesizerStore

__all__ = ["Enrolments", "RemotePluginHost"]

TOKEN_LIFE_S, LONGEST_TOKEN_LIFE_S = 3600.0, 86400.0
ENDPOINT: Final = re.compile(r".+:\d{1,5}")
Context = grpc.aio.ServicerContext[Any, Any]


class Enrolments:
    """Who may register from another host; `host`: the gRPC target for them, None where the engine listens to none."""

    def __init__(
        self,
        store: SynthesizerStore,
        authority: Authority,
        credentials: Credentials,
        host: str | None,
        certificate_life_s: float,
    ) -> None:
        self._store, self._authority, self._credentials = store, authority, credentials
        self._host, self._life = host, datetime.timedelta(seconds=certificate_life_s)
        self._links: dict[str, RemoteProcess] = {}

    def names(self) -> list[str]:
        return [record.name for record in self._store.enrolments()]

    def link(self, name: str) -> RemoteProcess:
        """Raises: NotFound."""
        if self._store.enrolment(name) is None:
            raise NotFound(f"no synthesizer {name!r} is enrolled")
        if name not in self._links:
            self._links[name] = RemoteProcess(name, self._authority.certificate, self._credentials)
        return self._links[name]

    async def enrol(self, name: str, life_s: float | None) -> service_pb2.EnrollSynthesizerResponse:
        """In place of an earlier enrolment of the same name. Raises: IllegalTransition, InvalidRequest."""
        if self._host is None:
            text = "this engine listens to no other host: start it with --plugin-listen HOST:PORT"
            raise IllegalTransition(text, state="LOCAL")
        if NAME.fullmatch(name) is None:
            raise InvalidRequest("name", "lower case letters, digits and '-' are needed")
        life_s = TOKEN_LIFE_S if life_s is None else life_s
        if not 0.0 < life_s <= LONGEST_TOKEN_LIFE_S:
            raise InvalidRequest("life_s", f"{life_s:g} s: more than 0, at most a day")
        token, host_name = secrets.token_urlsafe(32), f"{name}.{secrets.token_hex(8)}.neunets"
        issued = self._authority.plugin(host_name, self._life)
        record = store_pb2.EnrolmentRecord(
            name=name,
            token_sha256=_digest(token),
            expires=time.time() + life_s,
            host_name=host_name,
            public_key=public_key_of(issued.certificate),
        )
        await self._store.put_enrolment(record)
        files = {"ca.pem": self._authority.certificate, "cert.pem": issued.certificate, "key.pem": issued.key}
        response = service_pb2.EnrollSynthesizerResponse(token=token, host=self._host, files=files)
        response.expire_time.FromNanoseconds(int(1e9 * record.expires))
        return response

    def of(self, context: Context) -> store_pb2.EnrolmentRecord:
        """The enrolment whose key the caller has shown. Raises: PermissionDenied."""
        pem = b"".join(context.auth_context().get("x509_pem_cert", ()))
        key = public_key_of(pem) if pem else ""
        for record in self._store.enrolments():
            if record.public_key == key:
                return record
        raise PermissionDenied("this certificate belongs to no enrolment any more: enrol again")

    async def register(
        self,
        record: store_pb2.EnrolmentRecord,
        token: str,
        endpoint: str,
        description: synthesizer_pb2.DescribeResponse,
    ) -> None:
        """Raises: Unauthenticated, InvalidRequest."""
        if not secrets.compare_digest(_digest(token), record.token_sha256):
            raise Unauthenticated("another enrolment token: it was used, replaced, or never issued; enrol again")
        if not record.endpoint and record.expires < time.time():
            raise Unauthenticated("the enrolment token has expired: enrol again")
        if ENDPOINT.fullmatch(endpoint) is None:
            raise InvalidRequest("endpoint", f"{endpoint!r}: a plugin on another host says host:port")
        if record.endpoint and record.endpoint != endpoint:
            raise Unauthenticated(f"the enrolment token was used already, from {record.endpoint}: enrol again to move")
        if description == synthesizer_pb2.DescribeResponse():
            raise InvalidRequest("self", SELF_UNSET)
        if not record.endpoint:
            record.endpoint = endpoint
            await self._store.put_enrolment(record)
        self.link(record.name).registered(endpoint, record.host_name, description)

    def next_certificate(self, record: store_pb2.EnrolmentRecord, context: Context) -> bytes:
        """Before half of the caller's certificate is over, empty; then the next one."""
        pem = b"".join(context.auth_context().get("x509_pem_cert", ()))
        if ends_at(pem) - time.time() > self._life.total_seconds() / 2:
            return b""
        return self._authority.renewed(record.public_key, record.host_name, self._life)


class RemotePluginHost(synthesizer_pb2_grpc.PluginHostServicer):
    """The plugin host as other hosts see it; `local` answers what is the same for all."""

    def __init__(self, enrolments: Enrolments, local: PluginHost) -> None:
        self._enrolments, self._local = enrolments, local

    async def Register(
        self, request: synthesizer_pb2.RegisterRequest, context: Context
    ) -> synthesizer_pb2.RegisterResponse:
        if PROTOCOL_MAJOR not in request.protocol_majors:
            majors = list(request.protocol_majors)
            raise InvalidRequest("protocol_majors", f"{majors}: this engine speaks {PROTOCOL_MAJOR}")
        record = self._enrolments.of(context)
        await self._enrolments.register(record, request.token, request.endpoint, request.self)
        response = synthesizer_pb2.RegisterResponse(plugin=record.name, protocol_major=PROTOCOL_MAJOR)
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    async def Renew(self, request: synthesizer_pb2.RenewRequest, context: Context) -> synthesizer_pb2.RenewResponse:
        record = self._enrolments.of(context)
        if request.plugin != record.name:
            raise PermissionDenied(f"this certificate is that of {record.name!r}, not of {request.plugin!r}")
        link = self._enrolments.link(record.name)
        if not link.is_registered():
            raise NotFound(f"no plugin {request.plugin!r} is registered: register it again")
        link.renewed(is_leaving=request.draining)
        certificate = self._enrolments.next_certificate(record, context)
        response = synthesizer_pb2.RenewResponse(certificate=certificate, please_drain=self._local.drains(record.name))
        response.lease.FromMilliseconds(int(1000 * LEASE_S))
        return response

    async def EstimateCost(
        self, request: synthesizer_pb2.EstimateCostRequest, context: Context
    ) -> synthesizer_pb2.EstimateCostResponse:
        self._enrolments.of(context)
        return await self._local.EstimateCost(request, context)

    async def ValidateGraph(
        self, request: synthesizer_pb2.ValidateGraphRequest, context: Context
    ) -> synthesizer_pb2.ValidateGraphResponse:
        self._enrolments.of(context)
        return await self._local.ValidateGraph(request, context)

    async def ApplyMorphs(
        self, request: synthesizer_pb2.ApplyMorphsRequest, context: Context
    ) -> synthesizer_pb2.ApplyMorphsResponse:
        self._enrolments.of(context)
        return await self._local.ApplyMorphs(request, context)

    async def QueryExperiments(
        self, request: synthesizer_pb2.QueryExperimentsRequest, context: Context
    ) -> synthesizer_pb2.QueryExperimentsResponse:
        self._enrolments.of(context)
        return await self._local.QueryExperiments(request, context)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
