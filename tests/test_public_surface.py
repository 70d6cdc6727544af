"""The public surface is that of `public_surface.txt`: whoever changes it changes that file."""

from public_surface import KEPT, lines


def test_the_public_surface_is_the_one_that_is_listed():
    kept, found = KEPT.read_text().splitlines(), lines()
    changed = [f"- {line}" for line in kept if line not in found]
    changed += [f"+ {line}" for line in found if line not in kept]
    assert not changed, "\n".join(
        [
            "the public surface has changed; if that is meant, run",
            "`python tests/public_surface.py --write`, and say it in the changelog:",
            *changed,
        ]
    )
