"""The storage of the test server: its URLs grant no more than those of S3, and it answers as S3 does."""

from __future__ import annotations

import time
import urllib.parse

import pytest

from tests.support.cloud import CloudServer, faults, signing
from tests.support.cloud.queries import HTTP, presigned


def altered(url: str, **parameters: str) -> str:
    parts = urllib.parse.urlsplit(url)
    query = {**dict(urllib.parse.parse_qsl(parts.query)), **parameters}
    return parts._replace(query=urllib.parse.urlencode(query)).geturl()


@pytest.mark.parametrize(
    "parameter, value, code",
    [
        ("X-Amz-Signature", "0" * 64, "SignatureDoesNotMatch"),
        ("X-Amz-Expires", "7200", "SignatureDoesNotMatch"),
        ("X-Amz-Date", signing.timestamp(4e9), "SignatureDoesNotMatch"),
        ("X-Amz-Credential", "AKIAOTHER/20260101/us-west-2/s3/aws4_request", "InvalidAccessKeyId"),
        ("response-content-type", "text/html", "SignatureDoesNotMatch"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_forged_urls_are_refused(cloud: CloudServer, method: str, parameter: str, value: str, code: str) -> None:
    cloud.storage.put_object("deps-1.pex", b"old")
    (url,) = presigned(cloud, method, "deps-1.pex")
    content = b"new" if method == "PUT" else None
    answer = HTTP.request(method, altered(url, **{parameter: value}), content=content)
    assert answer.status_code == 403
    assert f"<Code>{code}</Code>" in answer.text
    assert cloud.objects() == {"deps-1.pex": b"old"}
    assert HTTP.request(method, url, content=content).status_code == 200


def test_urls_grant_one_method_on_one_file(cloud: CloudServer) -> None:
    cloud.storage.put_object("deps-1.pex", b"old")
    (put,), (get,) = presigned(cloud, "PUT", "deps-1.pex"), presigned(cloud, "GET", "deps-1.pex")
    refused = [
        HTTP.put(get, content=b"new"),
        HTTP.get(put),
        HTTP.head(get),
        HTTP.put(put.replace("deps-1", "deps-2"), content=b"new"),
        HTTP.put(put, content=b"new", headers={"x-amz-acl": "public-read"}),
        HTTP.get(get.split("?", maxsplit=1)[0]),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    assert cloud.objects() == {"deps-1.pex": b"old"}


def test_urls_expire() -> None:
    with CloudServer(url_lifetime=-1) as cloud:
        (url,) = presigned(cloud, "PUT", "deps-1.pex")
        answer = HTTP.put(url, content=b"new")
        assert (answer.status_code, "Request has expired" in answer.text) == (403, True)
        assert cloud.objects() == {}


def test_expired_urls_are_rightly_signed(cloud: CloudServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.inject("generateServerlessPexUrl:PUT", faults.ExpiredUrl(), times=1)
    expired, valid = presigned(cloud, "PUT", "deps-1.pex", "deps-2.pex")
    assert "Request has expired" in HTTP.put(expired, content=b"new").text
    assert HTTP.put(valid, content=b"new").status_code == 200
    monkeypatch.setattr(signing, "now", lambda: time.time() - 3700)
    assert HTTP.put(expired, content=b"new").status_code == 200


def test_missing_objects_and_ranges_are_answered_as_s3_does(cloud: CloudServer) -> None:
    (url,) = presigned(cloud, "GET", "deps-1.pex")
    assert "<Code>AccessDenied</Code>" in HTTP.get(url).text
    cloud.storage.may_list = True
    missing = HTTP.get(url)
    assert (missing.status_code, "<Code>NoSuchKey</Code>" in missing.text) == (404, True)
    cloud.storage.put_object("deps-1.pex", b"0123456789")

    def ranged(which: str) -> tuple[int, bytes, str | None]:
        answer = HTTP.get(url, headers={"Range": f"bytes={which}"})
        return answer.status_code, answer.content, answer.headers.get("Content-Range")

    assert ranged("2-4") == (206, b"234", "bytes 2-4/10")
    assert ranged("8-") == (206, b"89", "bytes 8-9/10")
    assert ranged("-3") == (206, b"789", "bytes 7-9/10")
    assert ranged("-30") == (206, b"0123456789", "bytes 0-9/10")
    assert ranged("10-")[0] == 416


def test_secrets_are_known(cloud: CloudServer) -> None:
    (url,) = presigned(cloud, "PUT", "deps-1.pex")
    signature = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-Signature"][0]
    assert cloud.leaks([f"Authorization: {cloud.token}", b"nothing"])[0] == cloud.token
    assert cloud.leaks([f"sent to {signature}"]) == [signature]
    assert cloud.leaks(["all is well"]) == []
