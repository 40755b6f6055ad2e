"""Commands that run a fleet or check its files: `up`, `down`, `init`, `check`, `demo`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.errors import UsageError
from fleet.cli.console import JsonOption, check_folder, err, out, print_json, run_async
from fleet.cli.options import PlatformOption

if TYPE_CHECKING:
    from datetime import timedelta

    from fleet.config.loader import FleetConfig
    from fleet.service.run import UpOptions, WebService
    from fleet.web.settings import WebOptions

__all__ = ["register"]

_FLEET_FILE = Path("fleet.toml")
_DEMO_TABLE_WIDTH = 110
"""Columns from which on the demo is a table; a list is easier to read below."""
_SCENARIO_FILE = Path("first.passfleet.yaml")


def _check_broker(broker: str | None) -> str | None:
    """Refuse an empty URL, such as `--broker "$BROKER"` without the variable."""
    if broker == "":
        raise UsageError("--broker is empty", hint="give embedded, mosquitto or mqtt://host:port")
    return broker


_FleetArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FLEET", help="Fleet file.  \\[default: fleet.toml]"),
]
_DevicesOption = Annotated[
    int | None,
    typer.Option("--devices", metavar="N", min=1, help="Number of devices, over all groups."),
]
_UpBrokerOption = Annotated[
    str | None,
    typer.Option(
        "--broker",
        metavar="URL",
        callback=_check_broker,
        help="Broker: embedded, mosquitto or mqtt://host:port.",
    ),
]


_MetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        metavar="PORT",
        min=0,
        max=65535,
        help="Serve Prometheus metrics on this port.",
    ),
]
_WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N",
        show_default=False,
        help="Number of processes; auto: one per core.  \\[default: from the fleet file, else 1]",
    ),
]
_WebOption = Annotated[
    str | None,
    typer.Option(
        "--web",
        metavar="[HOST:PORT]",
        help="Serve the browser pages and the Graph API.  \\[without a value: 127.0.0.1 and a free"
        " port]",
    ),
]
_WebTokenOption = Annotated[
    str | None,
    typer.Option(
        "--web-token",
        metavar="SOURCE",
        envvar="PASSFLEET_WEB_TOKEN",
        show_envvar=False,
        help="Source of the web server's token: env:NAME or file:PATH. Required beyond loopback.",
    ),
]
_WebCertOption = Annotated[
    Path | None,
    typer.Option("--web-cert", metavar="FILE", help="Certificate of the web server, for TLS."),
]
_WebKeyOption = Annotated[
    Path | None, typer.Option("--web-key", metavar="FILE", help="Private key of the certificate.")
]


def _web(
    address: str | None, token: str | None, cert: Path | None, key: Path | None
) -> WebOptions | None:
    """Build the web options, or None without --web. Raises UsageError."""
    if address is None:
        if token is None and cert is None and key is None:
            return None
        raise UsageError(
            "--web-token, --web-cert and --web-key need --web", hint="add --web HOST:PORT"
        )
    from fleet.web.settings import web_options  # noqa: PLC0415

    return web_options(address, token=token, cert=cert, key=key)


def _web_service(options: WebOptions) -> WebService:
    """Return the web service of `up`. Raises UsageError if its packages are missing."""
    from fleet.web.server import web_service  # noqa: PLC0415

    return partial(web_service, options)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("up", epilog="Example: passfleet up --devices 100 --for 30s")(up)
    app.command("down", epilog="Example: passfleet down")(down)
    app.command("init", epilog="Example: passfleet init && passfleet up")(init)
    app.command("check", epilog="Example: passfleet check fleet.toml scenarios/")(check)
    app.command("demo", epilog="Example: passfleet demo --json")(demo)


def up(
    fleet: _FleetArgument = None,
    devices: _DevicesOption = None,
    platform: PlatformOption = None,
    broker: _UpBrokerOption = None,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="DURATION", help="Stop after this time, such as 30s."),
    ] = None,
    detach: Annotated[  # noqa: FBT002  # a command-line flag
        bool, typer.Option("--detach", help="Run in the background.")
    ] = False,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="Lowest level to log: debug, info, warning or error.",
        ),
    ] = "warning",
    metrics: _MetricsOption = None,
    workers: _WorkersOption = None,
    web: _WebOption = None,
    web_token: _WebTokenOption = None,
    web_cert: _WebCertOption = None,
    web_key: _WebKeyOption = None,
    coverage: Annotated[
        Path | None,
        typer.Option(
            "--coverage",
            metavar="FILE",
            help="Write the rules of the platforms that the fleet exercised, at the end, as JSON.",
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Run a fleet until Ctrl-C."""
    from fleet.config.sections import read_workers  # noqa: PLC0415
    from fleet.logging_setup import configure_logging  # noqa: PLC0415

    configure_logging(log_level)
    config = _config(fleet, devices, platform or ())
    if workers is not None:
        config = config.with_workers(read_workers(workers))
    limit = _duration(duration)
    served = _web(web, web_token, web_cert, web_key)
    check_folder(coverage)
    if detach:
        from fleet.service.detach import start_detached  # noqa: PLC0415

        asked = {"metrics": metrics, "web": served}
        announced = [name for name, value in asked.items() if value is not None]
        start_detached(config.folder, announced=announced)
        return
    from fleet.service.run import UpOptions  # noqa: PLC0415

    options = UpOptions(
        broker=broker,
        duration=limit,
        as_json=as_json,
        log_level=log_level,
        metrics=metrics,
        web=None if served is None else _web_service(served),
        coverage=coverage,
    )
    _run_fleet(config, options)


def _run_fleet(config: FleetConfig, options: UpOptions) -> None:
    from fleet.service import run as running  # noqa: PLC0415

    try:
        run_async(running.run(config, options, out, err))
    except running.Interrupted:
        raise typer.Exit(130) from None


def _config(fleet: Path | None, devices: int | None, platforms: Sequence[str]) -> FleetConfig:
    """Load the fleet file; without one, use the sample fleet if a size or platform is given."""
    from fleet.config.loader import load_fleet  # noqa: PLC0415
    from fleet.config.sample import default_config  # noqa: PLC0415

    resized = devices is not None or bool(platforms)
    if fleet is None and resized and not _FLEET_FILE.exists():
        config = default_config()
    else:
        config = load_fleet(fleet or _FLEET_FILE)
    return config.resized(devices, platforms) if resized else config


def _duration(text: str | None) -> timedelta | None:
    from agent.clock import parse_duration  # noqa: PLC0415

    if text is None:
        return None
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from None
    if not duration:
        raise UsageError(f"--for must be more than {text}")
    return duration


def down(as_json: JsonOption = False) -> None:  # noqa: FBT002
    """Stop the fleet that was started in this folder."""
    from fleet.service.detach import stop_running  # noqa: PLC0415

    stopped = stop_running(Path.cwd(), err)
    if as_json:
        print_json({"stopped": stopped})
    elif stopped is None:
        out.print("no fleet runs in this folder or above")
    else:
        out.print(f"stopped the fleet of process {stopped}")


def init(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="File to write.  \\[default: fleet.toml, with --scenario first.passfleet.yaml]",
        ),
    ] = None,
    scenario: Annotated[  # noqa: FBT002
        bool, typer.Option("--scenario", help="Write a scenario instead of a fleet file.")
    ] = False,
    force: Annotated[  # noqa: FBT002
        bool, typer.Option("--force", help="Overwrite an existing file.")
    ] = False,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Write a commented sample fleet file or scenario, with its schema for editors."""
    from fleet.service.init_files import write_fleet_file, write_scenario  # noqa: PLC0415

    if scenario:
        path = path or _SCENARIO_FILE
        write_scenario(path, force=force)
        command = f"play it with: passfleet play {path}"
    else:
        path = path or _FLEET_FILE
        write_fleet_file(path, force=force)
        command = f"run it with: passfleet up{'' if path == _FLEET_FILE else f' {path}'}"
    if as_json:
        print_json({"written": str(path)})
    else:
        out.print(f"wrote {path}; {command}", markup=False)


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE",
            help="Fleet file, scenario files (.yaml) or folders of these.  \\[default: fleet.toml]",
        ),
    ] = None,
    broker: _UpBrokerOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Check fleet and scenario files, the system's limits and the broker."""
    from fleet.config.loader import load_fleet  # noqa: PLC0415
    from fleet.service.validate import check_fleet, check_scenarios, split_by_kind  # noqa: PLC0415

    fleets, scenarios = split_by_kind(files or [_FLEET_FILE])
    if len(fleets) > 1:
        raise UsageError(
            "more than one fleet file is given",
            hint="check one fleet file at a time; scenario files end in .yaml",
        )
    config = load_fleet(fleets[0]) if fleets else None
    known = None if config is None else config.known
    own = {} if config is None else config.dialects
    found = check_scenarios(scenarios, known, own) if scenarios else {}
    if config is not None:
        found |= run_async(check_fleet(config, broker))
    if as_json:
        print_json(found)
        return
    for name, text in found.items():
        out.print(f"[green]ok[/]  {name}: {text}")


def demo(
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Write the table as an SVG image."),
    ] = None,
    web: _WebOption = None,
    as_json: JsonOption = False,  # noqa: FBT002
) -> None:
    """Run the example flows of every platform in virtual time.

    With --web, serve one phone of each platform in the browser until Ctrl-C.
    """
    if (served := _web(web, None, None, None)) is not None:
        from fleet.service.run import UpOptions  # noqa: PLC0415
        from fleet.web.demo import demo_config  # noqa: PLC0415

        _run_fleet(demo_config(), UpOptions(as_json=as_json, web=_web_service(served)))
        return
    from fleet.cli.tables import fit_to_terminal  # noqa: PLC0415
    from fleet.service.demo import demo_list, demo_table, run_demo, save_svg  # noqa: PLC0415

    rows = run_async(run_demo(err))
    if picture is not None:
        save_svg(rows, picture)
    if as_json:
        print_json([row.as_json() for row in rows])
    else:
        narrow = out.is_terminal and out.width < _DEMO_TABLE_WIDTH
        out.print(demo_list(rows) if narrow else fit_to_terminal(demo_table(rows)))
    if not all(row.ok for row in rows):
        raise typer.Exit(1)
