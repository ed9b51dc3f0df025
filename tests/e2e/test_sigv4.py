"""The signature checker of the scripted S3 peer against the signer of boto3: two implementations that
share nothing must agree, and what is tampered with must be told apart."""
import datetime
import hashlib
import pathlib
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import sigv4

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/b+c=="
HOST = "127.0.0.1:9000"
NAMES = ["k", "a b", "a+b", "q?x=1&y", "100%", "#~'()!*", "\u00e9\u4e16\U0001f600", "e\u0301", "a/b//c", "%2F", '"', "../x/./y"]
QUERIES = [[], [("uploads", "")], [("prefix", "a/b c+d&e=f"), ("list-type", "2")], [("x", "2"), ("x", "1")], [("a!", "1"), ("a-", "1"), ("A", "\u00e9")]]


def quoted(s, safe=""):
    return urllib.parse.quote(s, safe=safe)


def signed(auth, method="GET", key="k", query=(), headers=(), body=b"", token=None, region="us-east-1", ttl=60):
    """(method, target, headers, body) as boto3's signer makes it."""
    url = f"http://{HOST}/bucket/{quoted(key, '/')}"
    if query:
        url += "?" + "&".join(f"{quoted(n)}={quoted(v)}" for n, v in query)
    request = AWSRequest(method, url, headers=dict(headers), data=body)
    request.context["payload_signing_enabled"] = True   # plain HTTP: the body's hash, as we send it
    credentials = Credentials(KEY, SECRET, token)
    if auth == "link":
        S3SigV4QueryAuth(credentials, "s3", region, expires=ttl).add_auth(request)
    else:
        S3SigV4Auth(credentials, "s3", region).add_auth(request)
    got = [(n, v) for n, v in request.headers.items() if n.lower() != "host"]
    return method, request.url.split(HOST, 1)[1], [("Host", HOST), *got], body


def check(request, token=None, **more):
    return sigv4.check(*request, {KEY: (SECRET, token) if token else SECRET}, **more)


def wrong(request, code, **more):
    with pytest.raises(sigv4.Wrong) as e:
        check(request, **more)
    assert e.value.code == code, e.value.why
    return e.value


def changed(request, **by):
    return tuple(by.get(n, v) for n, v in zip(("method", "target", "headers", "body"), request))


def with_header(request, name, value):
    return changed(request, headers=[(n, v) for n, v in request[2] if n.lower() != name.lower()] + [(name, value)])


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("auth", ["header", "link"])
def test_both_agree(auth, token):
    n = 0
    for key in NAMES:
        for query in QUERIES:
            got = check(signed(auth, key=key, query=query, token=token), token=token)
            assert got.access == KEY and got.presigned == (auth == "link") and got.token == (token or "")
            n += 1
    assert n == len(NAMES) * len(QUERIES)


def test_both_agree_on_headers_and_bodies():
    headers = {"Content-Type": "text/plain;  charset=utf-8", "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "x-amz-meta-a": " two   words ",
               "x-amz-meta-a-b": "1", "x-amz-meta-a.b": "2"}
    got = check(signed("header", "PUT", headers=headers, body=b"\0\xffbody"))
    assert {n.lower() for n in headers} <= set(got.names)
    assert hashlib.sha256(b"\0\xffbody").hexdigest() == got.canonical.rsplit("\n", 1)[1]


def test_the_published_example():
    got = sigv4.check("GET", "/test.txt", [
        ("Host", "examplebucket.s3.amazonaws.com"), ("Range", "bytes=0-9"), ("x-amz-date", "20130524T000000Z"),
        ("x-amz-content-sha256", hashlib.sha256(b"").hexdigest()),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
         "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
         "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")], b"",
        {"AKIAIOSFODNN7EXAMPLE": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
        now=datetime.datetime(2013, 5, 24, tzinfo=datetime.timezone.utc).timestamp())
    assert got.to_sign.endswith("7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972")


@pytest.mark.parametrize("auth", ["header", "link"])
@pytest.mark.parametrize("by", [{"method": "HEAD"}, {"target": "/bucket/K"}, {"target": "/bucket/./k"}])
def test_what_was_signed_is_bound(auth, by):
    request = signed(auth)
    if auth == "link" and "target" in by:
        by = {"target": request[1].replace("/bucket/k", by["target"])}
    wrong(changed(request, **by), "SignatureDoesNotMatch")


def test_what_is_tampered_with_is_found():
    request = signed("header", "PUT", headers={"x-amz-meta-a": "1"}, query=[("partNumber", "1")], body=b"body")
    check(request)
    wrong(changed(request, target="/bucket/k?partNumber=2"), "SignatureDoesNotMatch")
    wrong(changed(request, target="/bucket/k"), "SignatureDoesNotMatch")
    wrong(with_header(request, "x-amz-meta-a", "2"), "SignatureDoesNotMatch")
    wrong(with_header(request, "Host", "127.0.0.1"), "SignatureDoesNotMatch")
    wrong(changed(request, body=b"Body"), "XAmzContentSHA256Mismatch")
    wrong(with_header(request, "x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), "InvalidRequest")
    assert "x-amz-meta-b" in wrong(with_header(request, "x-amz-meta-b", "1"), "AccessDenied").why
    assert "content-type" in wrong(with_header(request, "Content-Type", "text/plain"), "AccessDenied").why
    wrong(changed(request, headers=[(n, v) for n, v in request[2] if n != "x-amz-meta-a"]), "AccessDenied")
    wrong(changed(request, headers=[(n, v) for n, v in request[2] if n != "Authorization"]), "AccessDenied")
    wrong(with_header(request, "Authorization", "Bearer x"), "AuthorizationHeaderMalformed")


def test_who_signed_counts():
    request = signed("header")
    with pytest.raises(sigv4.Wrong, match="InvalidAccessKeyId"):
        sigv4.check(*request, {"other": SECRET})
    with pytest.raises(sigv4.Wrong, match="SignatureDoesNotMatch"):
        sigv4.check(*request, {KEY: SECRET[:-1]})
    wrong(request, "InvalidToken", token=TOKEN)
    wrong(signed("header", token="other"), "InvalidToken", token=TOKEN)
    wrong(signed("link", token=TOKEN), "InvalidToken")
    wrong(signed("header", region="eu-west-1"), "AuthorizationHeaderMalformed", region="us-east-1")
    wrong(request, "AuthorizationHeaderMalformed", service="sts")


def signing_time(request):
    link = dict(urllib.parse.parse_qsl(request[1].partition("?")[2]))
    date = link.get("X-Amz-Date") or dict(request[2])["X-Amz-Date"]
    return datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def test_clocks_may_differ_by_a_quarter_of_an_hour():
    request = signed("header")
    at = signing_time(request)
    for now in (at - 900, at, at + 900):
        check(request, now=now)
    for now in (at - 901, at + 901):
        wrong(request, "RequestTimeTooSkewed", now=now)


def test_a_link_ends():
    request = signed("link", ttl=60)
    at = signing_time(request)
    for now in (at - 900, at, at + 60):
        check(request, now=now)
    assert "expired" in wrong(request, "AccessDenied", now=at + 61).why
    assert "not valid yet" in wrong(request, "AccessDenied", now=at - 901).why
    wrong(changed(request, target=request[1].replace("X-Amz-Expires=60", "X-Amz-Expires=61")), "SignatureDoesNotMatch")
    for ttl in ("0", "604801", "-1", "x", ""):
        wrong(changed(request, target=request[1].replace("X-Amz-Expires=60", "X-Amz-Expires=" + ttl)), "AuthorizationQueryParametersError")


def test_a_link_is_not_signed_twice():
    wrong(with_header(signed("link"), "Authorization", "Bearer x"), "InvalidRequest")
    request = signed("link")
    wrong(changed(request, target=request[1] + "&X-Amz-Signature=0"), "AuthorizationQueryParametersError")
    wrong(with_header(request, "x-amz-meta-a", "1"), "AccessDenied")


VECTORS = sorted((pathlib.Path(__file__).parent.parent / "unit/data/sigv4").glob("*/*-signed-request.txt"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: f"{p.parent.name}-{p.name.split('-')[0]}")
def test_the_vectors_of_aws_c_auth(path):
    """The data that the tests in C read, taken apart here by other code."""
    head, _, body = path.read_bytes().partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    method, _, target = first.rpartition(" ")[0].partition(" ")
    link, payload, headers = path.name.startswith("query"), hashlib.sha256(body).hexdigest(), []
    for line in lines:
        name, _, value = line.partition(":") if line[0] != " " else (headers[-1][0], "", line)  # a folded line counts once more
        headers.append((name, value))
    token = dict(headers).get("X-Amz-Security-Token", "") if not link else ""
    if link:
        headers = [h for h in headers if h[0] != "X-Amz-Date"] + ([("x-amz-content-sha256", payload)] if body else [])
        if path.parent.name == "get-vanilla-with-session-token":   # the suite's writer repeats it behind the signature
            target, _, token = target.rpartition("&X-Amz-Security-Token=")
    sigv4.check(method, target, headers, body, {KEY: (SECRET, token)}, service="service", payload=payload, clock=False)
