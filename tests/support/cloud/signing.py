"""AWS signatures, version 4, as S3 checks them: recomputed by botocore's own signer."""

from __future__ import annotations

import calendar
import hmac
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ALGORITHM = "AWS4-HMAC-SHA256"
REGION = "us-west-2"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key and its secret."""

    access: str
    secret: str


class Refused(Exception):
    """S3's answer to a request that is not rightly signed: an error code and its message, status 403."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def now() -> float:
    """The time by which signatures are checked."""
    return time.time()


def timestamp(seconds: float) -> str:
    """A time since the epoch as signatures write it."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def presigned(keys: Keys, method: str, url: str, *, signed_at: float, lifetime: int) -> str:
    """A presigned URL of any age; boto3 signs only what is valid now."""
    date = timestamp(signed_at)
    query = urllib.parse.urlencode(
        {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{keys.access}/{date[:8]}/{REGION}/s3/aws4_request",
            "X-Amz-Date": date,
            "X-Amz-Expires": lifetime,
            "X-Amz-SignedHeaders": "host",
        }
    )
    host = urllib.parse.urlsplit(url).netloc
    signature = _signature(keys, method, f"{url}?{query}", {"host": host}, date, REGION)
    return f"{url}?{query}&X-Amz-Signature={signature}"


def check(keys: Keys, method: str, url: str, headers: Mapping[str, str]) -> None:
    """Whether S3 lets a request pass, signed in its query (presigned) or in its headers; raises Refused."""
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query, keep_blank_values=True))
    if "X-Amz-Signature" in query:
        _check_presigned(keys, method, url, headers, query)
    elif headers.get("Authorization", "").startswith(ALGORITHM):
        _check_signed_headers(keys, method, url, headers)
    else:
        raise Refused("AccessDenied", "Access Denied")


def _check_presigned(
    keys: Keys, method: str, url: str, headers: Mapping[str, str], query: Mapping[str, str]
) -> None:
    try:
        access, _, region, _, _ = query["X-Amz-Credential"].split("/")
        date, lifetime = query["X-Amz-Date"], int(query["X-Amz-Expires"])
        signed_at = _seconds(date)
        signed = query["X-Amz-SignedHeaders"].split(";")
    except (KeyError, ValueError) as error:
        raise Refused("AuthorizationQueryParametersError", "Error parsing the query parameters") from error
    # S3 looks at the time first: an expired URL is told to be expired, whoever signed it.
    if now() > signed_at + lifetime:
        raise Refused("AccessDenied", "Request has expired")
    _known(keys, access)
    if unsigned := [name for name in headers if name.lower().startswith("x-amz-") and name.lower() not in signed]:
        words = "There were headers present in the request which were not signed"
        raise Refused("AccessDenied", f"{words}: {', '.join(unsigned)}")
    unsigned_url = re.sub(r"[&?]X-Amz-Signature=[^&]*", "", url)
    expected = _signature(keys, method, unsigned_url, _only(headers, signed), date, region)
    _equal(expected, query["X-Amz-Signature"])


def _check_signed_headers(keys: Keys, method: str, url: str, headers: Mapping[str, str]) -> None:
    words = headers["Authorization"].removeprefix(ALGORITHM)
    try:
        given = dict(part.strip().split("=", 1) for part in words.split(","))
        access, _, region, _, _ = given["Credential"].split("/")
        signed, signature, date = given["SignedHeaders"].split(";"), given["Signature"], headers["X-Amz-Date"]
        signed_at = _seconds(date)
    except (KeyError, ValueError) as error:
        raise Refused("AuthorizationHeaderMalformed", "The authorization header is malformed") from error
    if abs(now() - signed_at) > 15 * 60:
        raise Refused("RequestTimeTooSkewed", "The difference between the request time and now is too large")
    _known(keys, access)
    _equal(_signature(keys, method, url, _only(headers, signed), date, region, in_query=False), signature)


def _known(keys: Keys, access: str) -> None:
    if access != keys.access:
        raise Refused("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")


def _equal(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        words = "The request signature we calculated does not match the signature you provided."
        raise Refused("SignatureDoesNotMatch", words)


def _only(headers: Mapping[str, str], names: list[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() in names}


def _seconds(date: str) -> int:
    return calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))


def _signature(
    keys: Keys, method: str, url: str, headers: Mapping[str, str], date: str, region: str, *, in_query: bool = True
) -> str:
    from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth  # noqa: PLC0415  (start-up time)
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    signer: Any = (S3SigV4QueryAuth if in_query else S3SigV4Auth)(
        Credentials(keys.access, keys.secret), "s3", region
    )
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    request.context["timestamp"] = date
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signature: str = signer.signature(text, request)
    return signature
