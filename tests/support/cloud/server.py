"""The test server as tests see it."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import graphql

from tests.support.cloud import faults, graphql_api, storage, web
from tests.support.cloud.deployments import Deployment, Organization

TOKEN = "user:made-up-token-of-the-test-server"

_ERROR_CODES = {
    403: "AccessDenied",
    408: "RequestTimeout",
    409: "OperationAborted",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass(slots=True)
class Request:
    """A request that the server got.

    :param method: POST for GraphQL.
    :param operation: the name of a GraphQL operation, and
    :param fields: of its root fields.
    :param arguments: of each root field.
    :param deployment: that it is scoped to, None for the organization.
    :param name: of the registry's file.
    :param received: bytes of its body, once it was read.
    :param status: of the answer; None if there was none (yet).
    """

    method: str
    path: str
    headers: dict[str, str]
    operation: str = ""
    fields: tuple[str, ...] = ()
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    deployment: str | None = None
    name: str | None = None
    received: int = 0
    status: int | None = None


class CloudServer:
    """Dagster Cloud on loopback, alive inside the `with` block. See the package for an example."""

    def __init__(
        self, *, url_lifetime: int = 3600, may_list: bool = False, throttle: web.Throttle | None = None
    ) -> None:
        """Prepare a server.

        :param url_lifetime: of presigned URLs, in seconds.
        :param may_list: whether a missing object is answered 404; S3 says 403 to those who may not list.
        :param throttle: a network on the way to it.
        """
        self.token = TOKEN
        self.requests: list[Request] = []
        self.storage = storage.Storage(url_lifetime=url_lifetime, may_list=may_list)
        self.organization = Organization()
        self.keeps_artifacts = True
        self._faults = faults.FaultPlan()
        self.api = graphql_api.Api(self.organization, self._faults, self.storage.presign)
        self._lock = threading.Lock()
        self._web = web.WebServer(type("Handler", (_Handler,), {"cloud": self}), throttle)
        self.url = f"http://{self._web.host}"
        self.storage.endpoint = self.url

    def __enter__(self) -> Self:
        self._web.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401, PYI036
        self._web.__exit__(*error)

    def inject(
        self, on: str, fault: faults.Fault, *, name: str = "*", times: int | None = None, after: int = 0
    ) -> None:
        """Have something go wrong: so many times, or always, once `after` of its kind went well.

        :param on: "PUT" or "GET" (HEAD too) for storage; "artifact" for a file of a deployment that is sent, which
            can arrive otherwise (`Truncate`, `Corrupt`, `Lose`); "graphql" for all of GraphQL, or the name of an
            operation or of a root field such as "deployLocations", or "generateServerlessPexUrl:PUT" and "…:GET".
        :param name: a pattern (fnmatch) of the names of the files or locations that it concerns.
        """
        graphql_faults = (*faults.ON_GRAPHQL, *faults.ON_FIELDS, *faults.ON_URLS)
        if not isinstance(fault, faults.ON_STORAGE if on in {"PUT", "GET", "artifact"} else graphql_faults):
            raise TypeError(f"{fault} cannot happen to {on}")
        self._faults.add(on, fault, name=name, times=times, after=after)

    def unused_faults(self) -> list[faults.Fault]:
        """Those injected that nothing has met yet: a test that expects one should find none here."""
        return self._faults.unused()

    def heal(self) -> None:
        """From now on everything goes well."""
        self._faults.clear()

    def wait_until_hanging(self, seconds: float = 60) -> None:
        """Until a request hangs (`faults.Hang`)."""
        assert self._web.hanging.wait(seconds), f"nothing hangs; there were {self.requests}"

    @property
    def deployments(self) -> dict[str, Deployment]:
        """All deployments by name."""
        return self.organization.deployments

    def locations(self, deployment: str = "prod") -> dict[str, dict[str, Any]]:
        """The documents that were deployed to a deployment, by the names of the locations."""
        known = self.deployments.get(deployment)
        return {name: record.document for name, record in known.locations.items()} if known else {}

    def objects(self) -> dict[str, bytes]:
        """The registry's files by name."""
        return self.storage.objects()

    def operations(self) -> list[str]:
        """The root fields that GraphQL was asked for, in the order of the requests."""
        return [name for request in list(self.requests) for name in request.fields]

    def uploads(self) -> list[tuple[str, int]]:
        """(name, bytes received) of all PUTs, whatever they were answered."""
        return [(each.name, each.received) for each in list(self.requests) if each.method == "PUT" and each.name]

    def environ(self) -> dict[str, str]:
        """For a client: where the server is and the token."""
        return {"DAGSTER_CLOUD_URL": self.url, "DAGSTER_CLOUD_API_TOKEN": self.token}

    def storage_environ(self) -> dict[str, str]:
        """For the receiving server, which downloads from S3 by boto3."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.storage.keys.access,
            "AWS_SECRET_ACCESS_KEY": self.storage.keys.secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            "DAGSTER_CLOUD_SERVERLESS_REGION": "us-west-2",
            "DAGSTER_CLOUD_SERVERLESS_STORAGE_S3_BUCKET": self.storage.bucket,
            "DAGSTER_CLOUD_SERVERLESS_STORAGE_S3_PREFIX": self.storage.prefix,
        }

    def secrets(self) -> tuple[str, ...]:
        """What must not be in any output or file: the token, and what makes presigned URLs grant anything."""
        return (
            self.token,
            self.token.removeprefix("user:"),
            graphql_api.REGISTRY_TOKEN,
            self.storage.keys.secret,
            *self.storage.signatures,
            "X-Amz-Signature",
            "X-Amz-Credential",
        )

    def leaks(self, texts: Iterable[str | bytes]) -> list[str]:
        """Those secrets that one of these texts holds."""
        plain = [text.encode() if isinstance(text, str) else text for text in texts]
        return [secret for secret in self.secrets() if any(secret.encode() in text for text in plain)]

    def note(self, request: Request) -> None:
        """Log a request."""
        with self._lock:
            self.requests.append(request)

    def due(
        self, labels: set[str], names: Iterable[str] = (), kinds: tuple[type[faults.Fault], ...] = ()
    ) -> faults.Fault | None:
        """The fault that is due now."""
        return self._faults.due(labels, names, kinds)


class _Handler(web.Handler):
    cloud: CloudServer

    def do_POST(self) -> None:  # noqa: N802
        path = self.path.split("?")[0]
        parts = path.strip("/").split("/")
        if parts[-1] in {"gen_artifact_get", "gen_artifact_post"} or parts[0] == "artifact":
            self._artifact(parts)
            return
        if parts[-1] != "graphql" or len(parts) > 2:
            self.body()
            self.reply(404, b"Not Found")
            return
        headers = self.header_map()
        scope = parts[0] if len(parts) == 2 else self.headers.get("Dagster-Cloud-Deployment")
        request = Request("POST", path, headers, deployment=scope)
        content = self.body()
        request.received = len(content)
        try:
            asked = json.loads(content)
            request.variables = asked.get("variables") or {}
            operation = graphql_api.parse(asked["query"], request.variables)
        except (ValueError, KeyError, AttributeError, graphql.GraphQLError) as error:
            self.cloud.note(request)
            self._json(request, 400, {"errors": [{"message": str(error)}]})
            return
        request.operation, request.fields = operation.name, operation.fields
        request.arguments = operation.arguments
        self.cloud.note(request)
        self._answer_operation(request, operation)

    def _artifact(self, parts: list[str]) -> None:
        """A form to upload a file of a deployment with, and the upload by that form, which needs no token."""
        content = self.body()
        if parts[0] == "artifact":
            head = f"Content-Type: {self.headers['Content-Type']}\n\n".encode()
            message = email.message_from_bytes(head + content)
            fields = {
                str(part.get_param("name", header="content-disposition")): bytes(part.get_payload(decode=True))
                for part in message.walk()
                if not part.is_multipart()
            }
            assert "Dagster-Cloud-Api-Token" not in self.headers
            key = fields["key"].decode()
            fault = self.cloud.due({"artifact"}, [key], faults.ON_STORAGE)
            self.cloud.deployments[parts[1]].artifacts[key] = storage.changed(fault, fields["file"]) or b""
            self.reply(204)
        elif not self.cloud.keeps_artifacts:
            self.reply(404, b"Not Found")
        elif self.headers.get("Dagster-Cloud-Api-Token") != self.cloud.token:
            self.reply(401, b"Unauthorized")
        else:
            key = json.loads(content)["key"]
            form = {"url": f"{self.cloud.url}/artifact/{parts[0]}", "fields": {"key": key}}
            if parts[-1] == "gen_artifact_get":
                form = {"url": f"{self.cloud.url}/artifact/{parts[0]}/{key}"}
            self.reply(200, json.dumps(form).encode(), {"Content-Type": "application/json"})

    def _answer_operation(self, request: Request, operation: graphql_api.Operation) -> None:
        fault = self.cloud.due(operation.labels, operation.names, faults.ON_GRAPHQL)
        match fault:
            case faults.Status(code, retry_after):
                request.status = code
                self.reply(code, b"upstream says no", {"Retry-After": retry_after} if retry_after else {})
            case faults.Reset():
                self.reset()
            case faults.Hang():
                self.hang()
            case faults.GraphQLErrors(message):
                self._json(request, 200, {"data": None, "errors": [{"message": message}]})
            case faults.NullData():
                self._json(request, 200, {"data": None})
            case faults.Maintenance(message, timeout, interval):
                # The real client looks for the body whatever the status is.
                told = {"message": message, "timeout": timeout, "retry_interval": interval}
                self._json(request, 503, {"maintenance": told})
            case _:
                self._execute(request, operation, lost=isinstance(fault, faults.LostReply))

    def _execute(self, request: Request, operation: graphql_api.Operation, *, lost: bool) -> None:
        if self.headers.get("Dagster-Cloud-Api-Token") != self.cloud.token:
            request.status = 401
            self.reply(401, b"Unauthorized: the API token is missing or not valid")
            return
        deployment = self.cloud.deployments.get(request.deployment) if request.deployment else None
        if request.deployment and deployment is None:
            # Not seen on the real server. Its clients turn 404 into an error of their own that shows the body,
            # and a URL of something that is not there is answered so.
            request.status = 404
            self.reply(404, f"Deployment {request.deployment} not found".encode())
            return
        answer = self.cloud.api.execute(operation, request.variables, deployment)
        if lost:
            self.reset()
            return
        self._json(request, 200, answer)

    def _json(self, request: Request, status: int, value: object) -> None:
        request.status = status
        self.reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def do_PUT(self) -> None:  # noqa: N802
        request = self._storage_request()
        fault = self.cloud.due({"PUT"}, [request.name or ""])
        match fault:
            case faults.Hang(reading):
                request.received = len(self.body()) if reading else 0
                self.hang()
                return
            case faults.Reset():
                request.received = len(self.body(self.announced() // 2))
                self.reset()
                return
        content = self.body()
        request.received = len(content)
        if len(content) != self.announced():
            # The client went away: S3 keeps nothing of that.
            self.close_connection = True
            return
        if "Content-Length" not in self.headers:
            # S3 does not take chunked bodies.
            self._answer(request, storage.error_answer(411, "MissingContentLength", "You must provide a length"))
            self.close_connection = True
            return
        self._answer(request, self._put(request, content, fault), lost=isinstance(fault, faults.LostReply))

    def _put(self, request: Request, content: bytes, fault: faults.Fault | None) -> storage.Answer:
        if isinstance(fault, faults.Status):
            return _status(fault)
        refusal = self.cloud.storage.check("PUT", self.path, request.headers)
        if refusal is not None:
            return refusal
        stored = storage.changed(fault, content)
        if stored is None:
            return storage.Answer(200, b"", {"ETag": '"0"'})
        return self.cloud.storage.forward("PUT", self.path, request.headers, stored)

    def do_GET(self) -> None:  # noqa: N802
        if self.path.startswith("/artifact/"):
            _, _, deployment, key = self.path.split("/", 3)
            assert "Dagster-Cloud-Api-Token" not in self.headers
            content = self.cloud.deployments[deployment].artifacts.get(key)
            # As S3 answers those who may not list.
            self.reply(403 if content is None else 200, content or b"")
            return
        request = self._storage_request()
        fault = self.cloud.due({"GET"}, [request.name or ""])
        if isinstance(fault, faults.Hang):
            self.hang()
            return
        answer = _status(fault) if isinstance(fault, faults.Status) else self._get(request, fault)
        self._answer(request, answer, fault=fault, lost=isinstance(fault, faults.LostReply))

    do_HEAD = do_GET  # noqa: N815

    def _get(self, request: Request, fault: faults.Fault | None) -> storage.Answer:
        refusal = self.cloud.storage.check(self.command, self.path, request.headers)
        if refusal is not None:
            return refusal
        if isinstance(fault, faults.Lose):
            return storage.error_answer(404, "NoSuchKey", "The specified key does not exist.")
        return self.cloud.storage.forward(self.command, self.path, request.headers, b"")

    def _answer(
        self,
        request: Request,
        answer: storage.Answer,
        *,
        fault: faults.Fault | None = None,
        lost: bool = False,
    ) -> None:
        if lost:
            self.reset()
            return
        request.status = answer.status
        content, sent = answer.content, None
        if fault is not None and answer.status < 300:
            if isinstance(fault, faults.Truncate | faults.Reset):
                sent = len(content) // 2
            elif isinstance(fault, faults.Corrupt):
                content = storage.changed(fault, content) or b""
        self.reply(answer.status, content, answer.headers, sent=sent)
        if isinstance(fault, faults.Reset):
            self.reset()

    def _storage_request(self) -> Request:
        request = Request(self.command, self.path, self.header_map(), name=self.cloud.storage.name_of(self.path))
        self.cloud.note(request)
        return request


def _status(fault: faults.Status) -> storage.Answer:
    retry = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    code = _ERROR_CODES.get(fault.code, "Error")
    return storage.error_answer(fault.code, code, "upstream says no", **retry)
