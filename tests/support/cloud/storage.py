"""S3: moto's server keeps the objects; before it stands what moto does not do: signatures, expiry and faults."""

from __future__ import annotations

import atexit
import functools
import http.client
import itertools
import logging
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from tests.support.cloud import faults, signing

PREFIX = "org-storage/0123456789"

_FORWARDED = ("range", "content-type", "if-match", "if-none-match", "content-md5")
_RETURNED = ("etag", "content-range", "content-length", "content-type", "accept-ranges", "last-modified")
_buckets = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What S3 says to a request."""

    status: int
    content: bytes
    headers: dict[str, str]


class Storage:
    """A bucket.

    :param url_lifetime: of presigned URLs, in seconds.
    :param may_list: whether a missing object is told to be missing (404); S3 says 403 to those who may not list.
    """

    def __init__(self, *, url_lifetime: int = 3600, may_list: bool = False) -> None:
        self.endpoint = ""
        self.bucket = f"pex-registry-{next(_buckets)}"
        self.prefix = PREFIX
        self.keys = signing.Keys("AKIATESTSERVER0000000", "made-up-secret-key-of-the-test-server")
        self.url_lifetime = url_lifetime
        self.may_list = may_list
        self.signatures: list[str] = []
        self._moto = _moto_endpoint()
        self._client("http://" + self._moto).create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": signing.REGION}
        )

    def presign(self, name: str, method: str, *, expired: bool = False) -> str:
        """A URL that grants one method on one file of the registry."""
        if expired:
            url = f"{self.endpoint}/{self.bucket}/{urllib.parse.quote(self._key(name))}"
            signed_at = time.time() - self.url_lifetime - 3600
            made = signing.presigned(self.keys, method, url, signed_at=signed_at, lifetime=self.url_lifetime)
        else:
            made = self._client(self.endpoint).generate_presigned_url(
                "put_object" if method == "PUT" else "get_object",
                Params={"Bucket": self.bucket, "Key": self._key(name)},
                ExpiresIn=self.url_lifetime,
            )
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(made).query)
        self.signatures += query["X-Amz-Signature"]
        return str(made)

    def name_of(self, path: str) -> str | None:
        """The name of the registry's file that a URL's path is about, if it is about one of this bucket."""
        start = f"/{self.bucket}/{self.prefix}/pex/"
        plain = urllib.parse.unquote(urllib.parse.urlsplit(path).path)
        return plain.removeprefix(start) if plain.startswith(start) else None

    def check(self, method: str, path: str, headers: dict[str, str]) -> Answer | None:
        """S3's refusal of a request that is not rightly signed or too late; None if it may pass."""
        try:
            signing.check(self.keys, method, f"{self.endpoint}{path}", headers)
        except signing.Refused as refused:
            return error_answer(403, refused.code, refused.message)
        return None

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What moto answers, without the signature that has been checked already."""
        connection = http.client.HTTPConnection(self._moto, timeout=60)
        try:
            plain = urllib.parse.urlsplit(path)
            query = [
                (key, value)
                for key, value in urllib.parse.parse_qsl(plain.query, keep_blank_values=True)
                if not key.lower().startswith("x-amz-") and key != "x-id"
            ]
            target = plain.path + (f"?{urllib.parse.urlencode(query)}" if query else "")
            sent = {name: value for name, value in headers.items() if name.lower() in _FORWARDED}
            # moto only looks whether there is one.
            sent["Authorization"] = (
                f"{signing.ALGORITHM} Credential={self.keys.access}/20000101/{signing.REGION}/s3/aws4_request"
            )
            connection.request(method, target, body=body or None, headers=sent)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status == 404 and not self.may_list:
            return error_answer(403, "AccessDenied", "Access Denied")
        returned = {name: value for name, value in response.getheaders() if name.lower() in _RETURNED}
        return Answer(response.status, content, returned)

    def objects(self) -> dict[str, bytes]:
        """The registry's files by name."""
        listed = self._backend.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/pex/")
        keys = [entry["Key"] for entry in listed.get("Contents", [])]
        return {
            key.removeprefix(f"{self.prefix}/pex/"): self._backend.get_object(Bucket=self.bucket, Key=key)[
                "Body"
            ].read()
            for key in keys
        }

    def put_object(self, name: str, content: bytes) -> None:
        """Put a file into the registry behind everybody's back."""
        self._backend.put_object(Bucket=self.bucket, Key=self._key(name), Body=content)

    def delete_object(self, name: str) -> None:
        """Take a file out of the registry behind everybody's back."""
        self._backend.delete_object(Bucket=self.bucket, Key=self._key(name))

    @property
    def _backend(self) -> Any:  # noqa: ANN401
        return self._client("http://" + self._moto)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/pex/{name}"

    def _client(self, endpoint: str) -> Any:  # noqa: ANN401
        return _client(endpoint, self.keys)


def changed(fault: faults.Fault | None, content: bytes) -> bytes | None:
    """What is left of a file's bytes after a fault of storage; None if nothing is."""
    match fault:
        case faults.Truncate():
            return content[: len(content) // 2]
        case faults.Corrupt(one_byte=True):
            return content[: (at := len(content) // 4)] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        case faults.Corrupt():
            return bytes(byte ^ 0xFF for byte in content)
        case faults.Lose():
            return None
    return content


def error_answer(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as S3 words it."""
    content = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        "<RequestId>0123456789ABCDEF</RequestId><HostId>host</HostId></Error>"
    )
    return Answer(status, content.encode(), {"Content-Type": "application/xml", **headers})


@functools.cache
def _client(endpoint: str, keys: signing.Keys) -> Any:  # noqa: ANN401
    from botocore.config import Config  # noqa: PLC0415  (start-up time)

    return _session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=signing.REGION,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        config=Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
        ),
    )


@functools.cache
def _session() -> Any:  # noqa: ANN401
    """One for all clients: it keeps the models of S3, which cost more to read than all else that a test does."""
    import boto3  # noqa: PLC0415  (start-up time)

    return boto3.session.Session()


@functools.cache
def _moto_endpoint() -> str:
    """moto's S3 server, one for all tests of this process: each has a bucket of its own."""
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer  # noqa: PLC0415  (start-up time)

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"{host}:{port}"
