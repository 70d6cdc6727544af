"""The live page under attack, over real sockets."""

import httpx
import pytest
from attacked_server import PATIENCE, attack, listening_child
from recordings import recorded
from watched import TOKEN, wait_until, watching


@pytest.mark.parametrize(
    ("count", "seed"),
    [(150, 0), *[pytest.param(2000, n, marks=pytest.mark.long) for n in range(5)]],
)
def test_the_page_answers_its_browser_while_it_is_attacked(tmp_path, count, seed):
    recorded(tmp_path / "run.loop").close()
    with watching(tmp_path, "--token", TOKEN) as address:
        port = int(address.split("/?")[0].rpartition(":")[2])
        with httpx.Client(base_url=address.split("?")[0], timeout=PATIENCE) as client:
            assert client.get("/", params={"token": TOKEN}).status_code == 303
            name = client.get("/recordings").json()[0]["id"]
            events = f"/recordings/{name}/events"
            cookie = "; ".join(f"{key}={value}" for key, value in client.cookies.items())
            stream = f"GET {events} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"

            def answers():
                assert [entry["id"] for entry in client.get("/recordings").json()] == [name]
                assert httpx.get(f"http://127.0.0.1:{port}/recordings").status_code == 403

            attack(listening_child(port), port, answers, count, seed, [stream.encode()])
            wait_until(lambda: status_of(client, events) == 200, PATIENCE)


def status_of(client, path):
    with client.stream("GET", path) as answer:
        return answer.status_code
