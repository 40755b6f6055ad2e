"""Errors in fleet files: each names line, key and expected value, and shows no secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.definition.device import PolicySection
from broker.errors import FileError
from fleet.config.checks import group_problems
from fleet.config.loader import load_fleet, parse_fleet
from fleet.config.sample import SAMPLE
from fleet.config.sections import GroupSection
from platforms import PLATFORMS_BY_ID
from tests.support.fleet_files import PHONES, group


def refused(text: str) -> FileError:
    with pytest.raises(FileError) as caught:
        parse_fleet(text, Path("fleet.toml"))
    return caught.value


@dataclass(frozen=True)
class Bad:
    text: str
    line: int | None
    key: str | None
    says: str
    hint: str | None = None


BAD = {
    "top: unknown": Bad(f"{PHONES}[fleets]\n", 4, "fleets", "one of [fleet]", "'fleet'"),
    "top: key of fleet": Bad(f"seed = 1\n{PHONES}", 1, "seed", "unknown", "under [fleet]"),
    "top: key of group": Bad(f"\ncount = 1\n{PHONES}", 2, "count", "unknown", "under [[group]]"),
    "no group": Bad("[fleet]\nseed = 1\n", None, "group", "[[group]], at least once"),
    "empty": Bad("", None, "group", "no group"),
    "group not a list": Bad('[group]\nname = "a"\n', 1, "group", "[[group]]"),
    "group of scalars": Bad("group = [1]", 1, "group[1]", "got 1; expected a table"),
    "fleet not a table": Bad(f"fleet = 3\n{PHONES}", 1, "fleet", "got 3; expected a table"),
    "fleet as a list": Bad(f"[[fleet]]\nseed = 1\n{PHONES}", 1, "fleet", "[fleet]"),
    "seed": Bad(f'[fleet]\nseed = "7"\n{PHONES}', 2, "fleet.seed", 'got "7"; expected a whole'),
    "seed true": Bad(f"[fleet]\nseed = true\n{PHONES}", 2, "fleet.seed", "got true"),
    "seed too large": Bad(f"[fleet]\nseed = {2**64}\n{PHONES}", 2, "fleet.seed", "64 bits"),
    "clock": Bad(f'[fleet]\nclock = "rael"\n{PHONES}', 2, "fleet.clock", '"60x"', "'real'"),
    "clock stands": Bad(f'[fleet]\nclock = "0x"\n{PHONES}', 2, "fleet.clock", 'got "0x"'),
    "speed zero": Bad(f"[fleet]\nspeed = 0\n{PHONES}", 2, "fleet.speed", "above 0"),
    "speed inf": Bad(f"[fleet]\nspeed = inf\n{PHONES}", 2, "fleet.speed", "got inf"),
    "two clocks": Bad(
        f'[fleet]\nclock = "real"\nspeed = 60\n{PHONES}', 3, "fleet.speed", "not both"
    ),
    "workers": Bad(f"[fleet]\nworkers = 0\n{PHONES}", 2, "fleet.workers", "got 0; expected a"),
    "workers word": Bad(f'[fleet]\nworkers = "all"\n{PHONES}', 2, "fleet.workers", '"auto"'),
    "workers true": Bad(f"[fleet]\nworkers = true\n{PHONES}", 2, "fleet.workers", "got true"),
    "state": Bad(f'[fleet]\nstate = ""\n{PHONES}', 2, "fleet.state", '"fleet.db"'),
    **{
        f"root {root!r}": Bad(
            f'[fleet]\n\nroot = "{root}"\n{PHONES}', 3, "fleet.root", "topic levels such as"
        )
        for root in ("", "/a", "a/", "a//b", "a/+/b", "#", "$SYS/x", "a\\u0000")
    },
    "broker url": Bad(
        f'[broker]\nurl = "mosquito"\n{PHONES}', 2, "broker.url", "host:port", "'mosquitto'"
    ),
    "broker scheme": Bad(
        f'[broker]\nurl = "http://a:1"\n{PHONES}', 2, "broker.url", "'http'", "mqtts://host:8883"
    ),
    "broker port": Bad(f'[broker]\nurl = "mqtt://a:99999"\n{PHONES}', 2, "broker.url", "65535"),
    "password in url": Bad(
        f'[broker]\nurl = "mqtt://me:hush-hush@a:1"\n{PHONES}',
        2,
        "broker.url",
        "must not be in",
        "env",
    ),
    "password in clear": Bad(
        f'[broker]\nusername = "me"\npassword = "hush-hush"\n{PHONES}',
        3,
        "broker.password",
        '{ env = "PF_PW" }',
        "environment variable",
    ),
    "password number": Bad(
        f'[broker]\nusername = "me"\npassword = 4711\n{PHONES}', 3, "broker.password", "env"
    ),
    "password unknown source": Bad(
        f'[broker]\npassword = {{ fil = "x" }}\n{PHONES}',
        2,
        "broker.password.fil",
        "one of env, file",
        "'file'",
    ),
    "password two sources": Bad(
        f'[broker]\npassword = {{ env = "A", file = "b" }}\n{PHONES}', 2, "broker.password", "one"
    ),
    "password no source": Bad(
        f"[broker]\npassword = {{}}\n{PHONES}", 2, "broker.password", "exactly one source"
    ),
    "password without user": Bad(
        f'[broker]\nurl = "mqtt://a:1"\npassword = {{ env = "A" }}\n{PHONES}',
        3,
        "broker.password",
        "user name",
        "username",
    ),
    "ca without TLS": Bad(
        f'[broker]\nurl = "mqtt://a:1"\nca = "fleet.toml"\n{PHONES}', 3, "broker.ca", "encrypted"
    ),
    "key without cert": Bad(
        f'[broker]\nurl = "mqtts://a:1"\nkey = "fleet.toml"\n{PHONES}', 3, "broker.key", "cert"
    ),
    "key without cert on a broker of our own": Bad(
        f'[broker]\nkey = "fleet.toml"\n{PHONES}', 2, "broker.key", 'cert = "fleet.pem" beside it'
    ),
    "cert without key": Bad(
        f'[broker]\nurl = "mqtts://a:1"\ncert = "fleet.toml"\n{PHONES}',
        3,
        "broker.cert",
        'holds no private key; expected key = "fleet.key" beside it',
    ),
    "ca missing": Bad(
        f'[broker]\nurl = "mqtts://a:1"\nca = "no.pem"\n{PHONES}', 3, "broker.ca", '"no.pem"'
    ),
    "group unknown key": Bad(
        f'{PHONES}platfrom = "ios"\n', 4, "group[phones].platfrom", "unknown", "'platform'"
    ),
    "group without platform": Bad(
        '\n[[group]]\nname = "phones"\n', 2, "group[phones].platform", "missing"
    ),
    "group without name": Bad(
        f'{PHONES}\n[[group]]\nplatform = "ios"\ncount = 0\n', 5, "group[2].name", "missing"
    ),
    "count without name": Bad(
        f'{PHONES}\n[[group]]\nplatform = "ios"\ncount = 0\nname = ""\n',
        7,
        "group[2].count",
        "got 0; expected a whole number from 1",
    ),
    "count float": Bad(f"{PHONES}count = 2.0\n", 4, "group[phones].count", "got 2.0"),
    "count huge": Bad(f"{PHONES}count = {10**12}\n", 4, "group[phones].count", "1000000"),
    "name": Bad(group("a b"), 2, "group[1].name", "letters"),
    "name too long": Bad(group("a" * 65), 2, "group[1].name", "64"),
    "name all": Bad(group("all"), 2, "group[all].name", "reserved for all devices"),
    "name twice": Bad(group("a") + group("a"), 5, "group[a].name", "another group"),
    "platform": Bad(group("a", "Andriod"), 3, "group[a].platform", "one of ios,", "'android'"),
    "platform case": Bad(group("a", "iOS"), 3, "group[a].platform", 'got "iOS"', "'ios'"),
    "management": Bad(
        group("a", management='"hybird"'), 4, "group[a].management", "one of", "'hybrid'"
    ),
    "management type": Bad(group("a", management="1"), 4, "group[a].management", "got 1"),
    "id shared": Bad(group("a", id='"x"', count="2"), 4, "group[a].id", "{n}"),
    "id characters": Bad(group("a", id='"x/{n}"'), 4, "group[a].id", '"x/1"'),
    "id padded with spaces": Bad(group("a", id='"x{n:3}"'), 4, "group[a].id", "template"),
    "id too long": Bad(group("a", id=f'"{"x" * 62}{{n}}"', count="100"), 4, "group[a].id", "64"),
    "id of a long name": Bad(group("a" * 62), 2, f"group[{'a' * 62}].name", "device id"),
    **{
        f"id {field}": Bad(group("a", id=f'"x{field}"'), 4, "group[a].id", "n is the only")
        for field in ("{m}", "{n.real}", "{n[0]}", "{}", "{0}", "{n!r}", "{n", "}", "{n:{n}}")
    },
    "id hostile width": Bad(group("a", id='"{n:0999999999}"'), 4, "group[a].id", "template"),
    "id twice": Bad(
        group("a", id='"x-{n}"', count="3") + group("b", id='"x-{n:01}"'),
        9,
        "group[b].id",
        '"x-1" as well',
    ),
    "too many in all": Bad(
        group("a", count="1000000") + group("b", count="7"),
        8,
        "group[b].count",
        "too many devices in total",
    ),
    "owner": Bad(group("a", owner='"{user}"'), 4, "group[a].owner", "template"),
    "owner empty": Bad(group("a", owner='""'), 4, "group[a].owner", "a name"),
    "passcode number": Bad(group("a", passcode="2580"), 4, "group[a].passcode", '"" for no'),
    "passcode too long": Bad(
        group("a", "windows_phone_8_1", passcode=f'"{"4711" * 5}"'),
        4,
        "group[a].passcode",
        "18 characters at most",
    ),
    "policy snake": Bad(
        group("a", policy="{ min_length = 4 }"),
        4,
        "group[a].policy.min_length",
        "unknown",
        "'minLength'",
    ),
    "policy type": Bad(
        group("a", policy='{ history = 1, minLength = "4" }'),
        4,
        "group[a].policy.minLength",
        'got "4"',
    ),
    "policy no table": Bad(group("a", policy='"strict"'), 4, "group[a].policy", "a table such as"),
    "policy bounds": Bad(
        group("a", "windows_phone_8_1", policy="{ minLength = 3 }"),
        4,
        "group[a].policy.minLength",
        "does not accept 3; expected 4 to 18",
    ),
    "policy bounds in a table": Bad(
        group("a", "ios") + "[group.policy]\nminLength = 4\nhistory = 0\n",
        6,
        "group[a].policy.history",
        "1 to 50",
    ),
    "policy contradicts itself": Bad(
        group("a", policy="{ minLength = 2, minComplexCharacters = 3 }"),
        4,
        "group[a].policy.minComplexCharacters",
        "do not fit",
    ),
    "biometrics none there": Bad(
        group("a", biometrics='["face"]'), 4, "group[a].biometrics[1]", "Android has no face"
    ),
    "biometrics line": Bad(
        group("a", "ios", biometrics='[\n  "touchId",\n  "face",\n]'),
        6,
        "group[a].biometrics[2]",
        "expected touchId",
    ),
    "biometrics unknown": Bad(
        group("a", "ios", biometrics='["touchID"]'),
        4,
        "group[a].biometrics[1]",
        "a list with any",
        "'touchId'",
    ),
    "biometrics no list": Bad(
        group("a", biometrics='"face"'), 4, "group[a].biometrics", "a list with any"
    ),
    **{
        f"reaction {reaction}": Bad(
            group("a", reaction=reaction), 4, "group[a].reaction", "expected a duration such as"
        )
        for reaction in (
            "2",
            '"2"',
            '"2s..1s"',
            '"..2s"',
            '"1s..2s..3s"',
            '"-1s"',
            f'"{"9" * 99}h"',
        )
    },
    **{
        f"offline {share}": Bad(group("a", offline=share), 4, "group[a].offline", "from 0 to below")
        for share in ("1", "-0.1", "nan", '"0.1"', "true")
    },
    "syntax": Bad("[fleet]\nseed = = 1\n", 2, None, "not TOML: Invalid value"),
    "syntax at the end": Bad("[fleet]\nx = [1,\n2\n\n", 3, None, "not TOML: Unclosed array"),
    "key twice": Bad("[fleet]\nseed = 1\nseed = 2\n[broker]\n", 3, None, "Cannot overwrite"),
    "huge number": Bad(f"a = {'9' * 5000}", None, None, "not TOML"),
    "nested": Bad(f"a = {'[' * 5000}", None, None, "too deeply nested"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_line_key_and_expectation(bad: Bad) -> None:
    error = refused(bad.text)
    assert (error.line, error.key) == (bad.line, bad.key)
    assert bad.says in str(error)
    if bad.hint is not None:
        assert bad.hint in (error.hint or "")


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_refusal_is_one_line_of_fitting_length_without_secrets(bad: Bad) -> None:
    text = f"{error}{error.hint}" if (error := refused(bad.text)) else ""
    assert "\n" not in text
    assert len(text) < 600
    assert "hush-hush" not in text
    assert "4711" not in text


def test_the_first_problem_is_reported_and_the_others_counted() -> None:
    text = (
        f"{PHONES}cuont = 1\n\n{group('b', 'zzz', offline='7')}{group('c', 'zzz')}[fleet]\nx = 1\n"
    )
    error = refused(text)
    assert (error.line, error.key) == (4, "group[phones].cuont")
    assert error.hint == "did you mean 'count'? (and 3 more problems, lines 9, 12, 14)"
    assert [other.line for other in error.others] == [9, 12, 14]
    assert [other.key for other in error.others][2] == "fleet.x"


@pytest.mark.parametrize("shapes", [("fleet.toml", None), ("x", b"[fleet]\nseed = 1 # \xff\n")])
def test_a_file_that_cannot_be_read_is_refused(
    tmp_path: Path, shapes: tuple[str, bytes | None]
) -> None:
    name, data = shapes
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        load_fleet(path)
    assert caught.value.path == str(path)
    assert caught.value.line == (None if data is None else 2)
    assert data is not None or caught.value.hint == "passfleet init writes one"


def test_a_folder_is_no_fleet_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="this is a folder"):
        load_fleet(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_bytes(b"\xef\xbb\xbf" + PHONES.replace("\n", "\r\n").encode())
    assert load_fleet(path).device_count == 1
    path.write_bytes(path.read_bytes() + b"cuont = 1\r\n")
    with pytest.raises(FileError) as caught:
        load_fleet(path)
    assert caught.value.line == 4


def test_a_policy_that_no_passcode_satisfies_is_refused() -> None:
    """No platform of ours takes such a one, but a platform of one's own may."""
    android = PLATFORMS_BY_ID["android"]
    short = replace(android, passcode=replace(android.passcode, max_length=5))
    policy = PolicySection.model_validate({"minLength": 6})
    section = GroupSection(name="a", platform="short", policy=policy)
    (problem,) = group_problems(section, ("group", 0), {"short": short})
    assert problem.path == ("group", 0, "policy")
    assert "no passcode of Android satisfies" in problem.message


FRAGMENTS = [
    *("[", "]", "{", "}", '"', "'", "=", ".", ",", "\n", "#", "0", "-1", "1e9", "true", "nan"),
    *("[fleet]", "[[group]]", "[group.policy]", "name", '"all"', "count = 2", "{n}", "1979-05-27"),
    *("policy = []", "password = {}", 'url = "mqtt://"', "minLength = 9", 'id = "{"', "2s..1s"),
]


@given(
    cuts=st.lists(
        st.tuples(
            st.integers(0, len(SAMPLE)), st.integers(0, 60), st.sampled_from(["", *FRAGMENTS])
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_damaged_file_is_read_or_refused_with_a_place(cuts: list[tuple[int, int, str]]) -> None:
    text = SAMPLE
    for at, length, instead in cuts:
        text = text[:at] + instead + text[at + length :]
    error = None
    try:
        parse_fleet(text).devices()
    except FileError as refusal:
        error = refusal
    assert error is None or error.line is None or 1 <= error.line <= text.count("\n") + 1


def test_a_misspelt_key_that_is_required_is_one_mistake() -> None:
    with pytest.raises(FileError) as refused:
        parse_fleet('[[group]]\nname = "phones"\nplatfrom = "ios"\n')
    error = refused.value
    assert (error.line, error.key) == (3, "group[phones].platfrom")
    assert error.hint == "did you mean 'platform'?"
