"""The responses of the live page's server, and who receives them."""

import json
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from itertools import dropwhile, islice, pairwise
from pathlib import Path

import httpx
import pytest
from forked import COMMAND, Forked
from recordings import recorded
from watched import PATIENCE, TOKEN, endless, wait_until, watching

from trackside.views.page.asgi_app import MAX_STREAMS
from trackside.views.page.page import WATCH

ADDRESS = "--token", TOKEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a recording."""
    path = tmp_path_factory.mktemp("runs")
    recorded(path / "run.loop").close()
    return path


@pytest.fixture(scope="module")
def address(folder):
    """The address of a server for that folder, with a fixed token."""
    with watching(folder, *ADDRESS) as address:
        yield address


@contextmanager
def logged_in(address):
    """A client that has opened the address, and so has the cookie."""
    with httpx.Client(base_url=address.split("?")[0], timeout=PATIENCE) as client:
        assert client.get("/", params={"token": TOKEN}).status_code == 303
        yield client


@pytest.fixture
def client(address):
    with logged_in(address) as client:
        yield client


def get_without_cookie(address, path="/", **options):
    """The response to a client without the cookie."""
    return httpx.get(address.split("/?")[0] + path, timeout=PATIENCE, **options)


def test_the_token_is_replaced_by_an_httponly_samesite_cookie(address):
    answer = httpx.get(address, timeout=PATIENCE)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert TOKEN not in cookie


def test_the_page_is_served_to_a_client_with_the_cookie(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["/", "/recordings", "/recordings/x/events", "/nowhere"])
def test_without_a_token_every_path_is_forbidden(address, path):
    for params in ({}, {"token": ""}, {"token": TOKEN[:-1]}, {"token": "é"}):
        answer = get_without_cookie(address, path, params=params)
        assert answer.status_code == 403
        assert "run" not in answer.headers
        assert answer.text == "open the address that `trackside watch` printed, with its token\n"


def test_a_random_token_works_once(folder):
    with watching(folder) as address:
        assert httpx.get(address, timeout=PATIENCE).status_code == 303
        again = httpx.get(address, timeout=PATIENCE)
        assert again.status_code == 403
        assert "opened before" in again.text


def test_two_servers_have_different_tokens(folder):
    with watching(folder) as one, watching(folder) as other:
        assert one.split("token=")[1] != other.split("token=")[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_host_name_is_refused_as_misdirected(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 421


def test_the_names_of_this_machine_are_accepted_as_host(client):
    port = client.base_url.port
    for host in ("localhost", f"localhost:{port}", f"[::1]:{port}"):
        assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_from_another_site_is_refused(client, site):
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_foreign_origin_is_refused(client, origin):
    assert client.get("/recordings", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_and_head_are_allowed(client, method):
    answer = client.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/recordings", "/nowhere"])
def test_every_response_has_the_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"] == f"{WATCH.policy}; frame-ancestors 'self'"
    assert "unsafe" not in WATCH.policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "uvicorn" not in headers.get("server", "")


def test_recordings_are_listed_without_their_paths(client, folder):
    listed = client.get("/recordings")
    assert [entry["name"] for entry in listed.json()] == ["run"]
    assert str(folder) not in listed.text


def test_a_recording_that_is_not_listed_is_not_served(client, folder):
    for name in ("x", "run.loop", "..%2Frun.loop", str(folder / "run.loop").replace("/", "%2F")):
        assert client.get(f"/recordings/{name}/events").status_code == 404


def events(answer):
    """The events of a stream as they arrive: name, id, content."""
    event = {}
    for line in answer.iter_lines():
        if line:
            key, _, value = line.partition(": ")
            event[key] = value
        else:
            yield event["event"], event["id"], json.loads(event["data"])
            event = {}


def test_a_stream_starts_with_the_run_and_continues_after_the_last_id(client):
    name = client.get("/recordings").json()[0]["id"]
    with client.stream("GET", f"/recordings/{name}/events") as answer:
        stream = events(answer)
        kind, _, content = next(stream)
        assert (kind, content["name"]) == ("begin", "run")
        kind, event_id, content = next(stream)
        assert (kind, content["live"]["status"], content["lost"]) == ("message", "ended", False)
        assert content["records"]
    with client.stream(
        "GET", f"/recordings/{name}/events", headers={"Last-Event-ID": event_id}
    ) as answer:
        kind, again, content = next(events(answer))
        assert (kind, again, content["records"]) == ("message", event_id, "")


def test_an_id_of_another_run_restarts_the_stream(client):
    name = client.get("/recordings").json()[0]["id"]
    for event_id in ("", "x", "1.2:3", "é:٣", f"{name}:{'9' * 5000}"):
        headers = {"Last-Event-ID": event_id.encode()}
        with client.stream("GET", f"/recordings/{name}/events", headers=headers) as answer:
            assert next(events(answer))[0] == "begin"


def test_an_interrupt_stops_the_server_silently_with_an_open_page(folder):
    command = [COMMAND, "watch", str(folder), *ADDRESS]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked(command, text=True, **pipes) as server:
        with logged_in(server.stdout.readline().strip()) as client:
            name = client.get("/recordings").json()[0]["id"]
            with client.stream("GET", f"/recordings/{name}/events") as answer:
                stream = events(answer)
                assert next(stream)[0] == "begin"
                server.send_signal(signal.SIGINT)
                assert {kind for kind, *_ in stream} <= {"message"}
        _, stderr = server.communicate(timeout=PATIENCE)
    assert (server.returncode, stderr) == (0, "")


def test_open_streams_are_limited_and_closing_one_makes_room(client):
    name = client.get("/recordings").json()[0]["id"]
    path = f"/recordings/{name}/events"
    with ExitStack() as stack:
        streams = [stack.enter_context(client.stream("GET", path)) for _ in range(MAX_STREAMS)]
        assert {answer.status_code for answer in streams} == {200}
        refused = stack.enter_context(client.stream("GET", path))
        assert refused.status_code == 503
    wait_until(lambda: status_of(client, path) == 200)


def status_of(client, path):
    with client.stream("GET", path) as answer:
        return answer.status_code


def position(event):
    return int(event[1].rpartition(":")[2])


def test_a_stream_that_has_caught_up_sends_at_most_ten_messages_a_second(tmp_path):
    with (
        endless(tmp_path / "run.loop"),
        watching(tmp_path, *ADDRESS) as address,
        logged_in(address) as client,
    ):
        name = client.get("/recordings").json()[0]["id"]
        with client.stream("GET", f"/recordings/{name}/events") as answer:
            sent = islice(events(answer), 1, None)
            first = next(sent)
            caught_up = position(first) + first[2]["left"]
            sent = dropwhile(lambda event: position(event) < caught_up, sent)
            contents = [content for _, _, content in islice(sent, 8)]
    times = [content["live"]["now"] for content in contents]
    assert min(later - time for time, later in pairwise(times)) >= 0.099 * 1e9
    assert sum(len(content["records"]) for content in contents[1:]) > 1000 * len(contents)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.loop"], "cannot find nowhere.loop"),
        ([".", "--host", "0.0.0.0"], "set --token"),
        ([".", "--token", "short"], "--token is too short"),
        ([".", "--host", "nowhere.invalid", "--token", TOKEN], "cannot listen on nowhere.invalid"),
        ([".", "--port", "99999"], "cannot listen on 127.0.0.1, port 99999"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(refused, arguments, message):
    assert message in refused("watch", *arguments)


def test_a_missing_library_is_named_with_its_extra(tmp_path):
    code = (
        "import sys; sys.modules['uvicorn'] = None; "
        "from trackside.views.commands.main import main; "
        "sys.exit(main(['watch', '.']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "trackside: the live page needs uvicorn: pip install 'trackside[watch]'\n"


def test_the_server_does_not_import_torch():
    code = "import sys, trackside.views.page.page_server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path("/"), check=False).returncode == 0
