"""Checks an S3 request's signature (AWS Signature Version 4) the way a strict server does, from what
arrived on the wire. Shares nothing with the signer it tests; the standard library is all it needs."""
import calendar
import hashlib
import hmac
import re
import time
import urllib.parse
from typing import NamedTuple

ALGORITHM, UNSIGNED = "AWS4-HMAC-SHA256", "UNSIGNED-PAYLOAD"
SKEW_S, LONGEST_S = 15 * 60, 7 * 24 * 3600


class Wrong(Exception):
    """What is wrong with a request: .status and .code as S3 answers them, .why for a reader."""

    def __init__(self, status, code, why):
        super().__init__(f"{code}: {why}")
        self.status, self.code, self.why = status, code, why


class Signed(NamedTuple):
    access: str
    presigned: bool
    names: tuple        # of the signed headers
    signature: str
    token: str          # of temporary credentials, "" if there is none
    canonical: str
    to_sign: str


class _Claim(NamedTuple):
    """What the request says of its own signature."""
    credential: str
    names: str
    signature: str
    date: str
    expires: "int | None"   # None: not a link
    token: str


def _sha256(b):
    return hashlib.sha256(b).hexdigest()


def _quoted(raw, keep=b""):
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + keep
    return "".join(chr(c) if c in plain else "%%%02X" % c for c in raw)


def _raw(text):
    """A target's or header's bytes: str stands for the bytes of latin-1, as http.server has it."""
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _pairs(query):
    """(name, value) as bytes, decoded; a name without '=' has an empty value."""
    out = []
    for part in query.split(b"&") if query else []:
        name, _, value = part.partition(b"=")
        out.append(tuple(urllib.parse.unquote_to_bytes(x.replace(b"+", b" ")) for x in (name, value)))
    return out


def _one(values, name, wrong):
    if len(values) != 1:
        raise Wrong(*wrong, f"{name} is there {len(values)} times")
    return values[0]


def _from_query(pairs):
    bad = (400, "AuthorizationQueryParametersError")
    got = {n: _one([v.decode("latin-1") for k, v in pairs if k == n.encode()], n, bad)
           for n in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")}
    if got["X-Amz-Algorithm"] != ALGORITHM:
        raise Wrong(*bad, "X-Amz-Algorithm is not " + ALGORITHM)
    if not re.fullmatch(r"[0-9]{1,7}", got["X-Amz-Expires"]) or not 1 <= int(got["X-Amz-Expires"]) <= LONGEST_S:
        raise Wrong(*bad, f"X-Amz-Expires is not within 1 to {LONGEST_S}")
    tokens = [v.decode("latin-1") for k, v in pairs if k == b"X-Amz-Security-Token"]
    return _Claim(got["X-Amz-Credential"], got["X-Amz-SignedHeaders"], got["X-Amz-Signature"], got["X-Amz-Date"],
                  int(got["X-Amz-Expires"]), _one(tokens, "X-Amz-Security-Token", bad) if tokens else "")


def _from_headers(headers):
    bad = (400, "AuthorizationHeaderMalformed")
    m = re.fullmatch(ALGORITHM + r" Credential=([^ ,]+), ?SignedHeaders=([^ ,]+), ?Signature=([^ ,]+)",
                     _one(headers["authorization"], "Authorization", bad))
    if not m:
        raise Wrong(*bad, "Authorization is not of the form it should have")
    date = _one(headers.get("x-amz-date", []), "x-amz-date", (403, "AccessDenied"))
    tokens = headers.get("x-amz-security-token", [])
    return _Claim(*m.groups(), date, None, _one(tokens, "x-amz-security-token", bad) if tokens else "")


def _check_time(claim, now):
    try:
        at = calendar.timegm(time.strptime(claim.date, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Wrong(403, "AccessDenied", f"{claim.date!r} is no time of signing") from None
    if claim.expires is None:
        if abs(now - at) > SKEW_S:
            raise Wrong(403, "RequestTimeTooSkewed", f"signed {now - at:.0f} s ago")
    elif at - now > SKEW_S:
        raise Wrong(403, "AccessDenied", "Request is not valid yet")
    elif now > at + claim.expires:
        raise Wrong(403, "AccessDenied", "Request has expired")


def _check_names(claim, headers):
    names = claim.names.split(";")
    if names != sorted(set(names)) or claim.names != claim.names.lower():
        raise Wrong(403, "SignatureDoesNotMatch", "SignedHeaders are not sorted, unique and in lower case")
    if missing := [n for n in names if n not in headers]:
        raise Wrong(403, "AccessDenied", f"signed, but not sent: {', '.join(missing)}")
    must = [n for n in headers if n == "host" or n.startswith("x-amz-")]
    if claim.expires is None:
        must += [n for n in headers if n in ("content-type", "content-md5")]
    if unsigned := sorted(n for n in ["host", *must] if n not in names):
        raise Wrong(403, "AccessDenied", f"sent, but not signed: {', '.join(unsigned)}")
    return tuple(names)


def _payload(claim, headers, body, service):
    """The payload's line of the canonical request, after a look at the body."""
    sent = headers.get("x-amz-content-sha256", [])
    if not sent:
        if claim.expires is not None:
            return UNSIGNED
        if service == "s3":
            raise Wrong(400, "InvalidRequest", "x-amz-content-sha256 is missing")
        return _sha256(body)
    line = _one(sent, "x-amz-content-sha256", (400, "InvalidRequest"))
    if line != UNSIGNED and not re.fullmatch("[0-9a-f]{64}", line):
        raise Wrong(400, "InvalidRequest", f"x-amz-content-sha256 {line!r} is not supported")
    if line != UNSIGNED and line != _sha256(body):
        raise Wrong(400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed")
    return line


def _key(secret, date, region, service):
    key = b"AWS4" + secret.encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def check(method, target, headers, body, secrets, *, now=None, service="s3", region=None, payload=None, clock=True):
    """Signed, or Wrong is raised.

    target   path?query as it stood in the request line, bytes or str of latin-1
    headers  (name, value) in the order they came; repeated names stay apart
    secrets  {access key: secret}, or {access key: (secret, token)} for temporary credentials
    region   the only one that is taken; None: any
    payload  the canonical request's last line where it is not to be taken from the request
    clock    False: neither skew nor expiry is looked at
    """
    path, _, query = _raw(target).partition(b"?")
    pairs = _pairs(query)
    by_name = {}
    for name, value in headers:
        by_name.setdefault(name.lower(), []).append(re.sub("[ \t]+", " ", _raw(value).decode("latin-1").strip(" \t")))
    linked = any(k in (b"X-Amz-Signature", b"X-Amz-Algorithm", b"X-Amz-Credential") for k, _ in pairs)
    if linked and "authorization" in by_name:
        raise Wrong(400, "InvalidRequest", "signed in a header and in the query at once")
    if not linked and "authorization" not in by_name:
        raise Wrong(403, "AccessDenied", "not signed at all")
    claim = _from_query(pairs) if linked else _from_headers(by_name)

    parts = claim.credential.rsplit("/", 4)
    malformed = (400, "AuthorizationQueryParametersError" if linked else "AuthorizationHeaderMalformed")
    if len(parts) != 5 or parts[3] != service or parts[4] != "aws4_request":
        raise Wrong(*malformed, f"the credential is not of the form key/date/region/{service}/aws4_request")
    access, date, its_region = parts[:3]
    if date != claim.date[:8]:
        raise Wrong(*malformed, "the credential's day is not that of the signing")
    if region is not None and its_region != region:
        raise Wrong(*malformed, f"the region {its_region!r} is wrong; expecting {region!r}")
    if access not in secrets:
        raise Wrong(403, "InvalidAccessKeyId", "nobody has this access key")
    secret, token = secrets[access] if isinstance(secrets[access], tuple) else (secrets[access], "")
    if clock:
        _check_time(claim, time.time() if now is None else now)
    names = _check_names(claim, by_name)
    if not hmac.compare_digest(claim.token.encode("latin-1"), token.encode()):
        raise Wrong(403 if token else 400, "InvalidToken", "the security token is not the one of this key")

    encoded = sorted((_quoted(k), _quoted(v)) for k, v in pairs if k != b"X-Amz-Signature")
    line = payload if payload is not None else _payload(claim, by_name, body, service)
    canonical = "\n".join([
        method, _quoted(urllib.parse.unquote_to_bytes(path), b"/") or "/", "&".join(f"{k}={v}" for k, v in encoded),
        *(f"{n}:{','.join(by_name[n])}" for n in names), "", ";".join(names), line])
    to_sign = "\n".join([ALGORITHM, claim.date, f"{date}/{its_region}/{service}/aws4_request", _sha256(canonical.encode("latin-1"))])
    want = hmac.new(_key(secret, date, its_region, service), to_sign.encode("latin-1"), "sha256").hexdigest()
    if not hmac.compare_digest(want, claim.signature):
        raise Wrong(403, "SignatureDoesNotMatch", f"another signature was computed, over\n{canonical}")
    return Signed(access, linked, names, want, claim.token, canonical, to_sign)
