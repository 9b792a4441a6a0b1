"""The commands' words and help texts; each command's work is in a module of its own.

Owns the grammar of the command line and exit codes of usage errors; must not wire anything.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from typer import rich_utils
from typer.exceptions import TyperException

from bridge_monitor import __version__
from bridge_monitor.cli.console import EXIT_UNKNOWN, LangChoice, configure_log, language, messages
from bridge_monitor.cli.texts import text

_NAME: Final = "bridge-monitor"
_INTERRUPTED: Final = 130

app = typer.Typer(
    name=_NAME,
    help=(
        "Which rooms of a nationwide video conference will be seen and heard, and who has to fix the others.\n\n"
        "Places real SIP test calls to every room inside the rehearsal window, measures set-up time, delay, jitter and "
        "loss in both directions, and says whose each fault is.\n\n"
        "**Start here:** `bridge-monitor demo --sites 300 --duration 60` shows a simulated nation on this machine; "
        "`bridge-monitor check-config configs/minimal` a configuration that can be read whole."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sites_app = typer.Typer(no_args_is_help=True, help="Look at the site list: its rooms, and how each would be called.")
app.add_typer(sites_app, name="sites")

Folder = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="BRIDGE_MONITOR_CONFIG",
        help="Folder with sites.csv, contacts.csv, event.yaml and bridge_monitor.yaml.",
    ),
]
OptionalFolder = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="BRIDGE_MONITOR_CONFIG",
        help="Folder with sites.csv, contacts.csv, event.yaml and bridge_monitor.yaml.",
    ),
]
Language = Annotated[
    LangChoice | None,
    typer.Option(
        "--lang", envvar="BRIDGE_MONITOR_LANG", help="Language of results and errors; your locale's if left out."
    ),
]
StateDir = Annotated[
    Path | None,
    typer.Option(help="Where locks and the journal of open calls are kept, instead of the configured place."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


def _version(wanted: bool) -> None:  # noqa: FBT001 - the callback's signature is Typer's
    if wanted:
        typer.echo(f"bridge_monitor {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


@app.command()
def run(*, config: Folder, lang: Language = None, state_dir: StateDir = None) -> int:
    """Run the daemon: call every site inside the event's windows and export what is found.

    Serves `/metrics`, `/probe`, `/-/healthy`, `/-/ready` and `/-/reload` on the configured address (127.0.0.1 by
    default). SIGHUP, or POST to `/-/reload`, reloads the configuration; with any error in it the old one stays in use.
    SIGTERM and Ctrl-C end every call, then the daemon.

    Calls that a killed daemon left up are ended at the next start, before anybody is called.
    """
    from bridge_monitor.cli.run import run_daemon

    return run_daemon(config, language(lang), state_dir)


@app.command()
def sweep(
    *,
    config: Folder,
    province: Annotated[list[str] | None, typer.Option(help="Only sites of this province (code); repeatable.")] = None,
    tier: Annotated[list[str] | None, typer.Option(help="Only sites of this tier; repeatable.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only this site (code); repeatable.")] = None,
    lang: Language = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> int:
    """Call each chosen site once, now, and show what fails.

    Keeps the event's windows and the caps, and asks a running daemon for each site's slot, so that the caps hold over
    both. Choices of one kind add up, those of different kinds narrow each other down: `--province 48 --tier commune`
    calls the communes of province 48.

    Ends with 2 if a site failed, else with 1 if one is degraded or busy, else with 3 if one could not be tested (it
    rang, or was not called), else with 0.
    """
    from bridge_monitor.cli.sweep import Choice, run_sweep

    choice = Choice(tuple(province or ()), tuple(tier or ()), tuple(site or ()))
    return run_sweep(config, choice, language(lang), state_dir, as_json=as_json)


@app.command()
def probe(
    *,
    target: Annotated[str, typer.Argument(help="A site's code, or a URI as in sip:echo@192.0.2.7:5060.")],
    config: OptionalFolder = None,
    any_target: Annotated[
        bool, typer.Option("--any-target", help="Call a URI that is in no inventory: no configuration, no windows.")
    ] = False,
    duration: Annotated[
        float | None, typer.Option(min=0.2, max=3600.0, help="Seconds of media; the profile's if left out.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Calls to place, one after the other.")] = 1,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the configuration to call with; the site's if left out.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="sip (a call with media) or sip-options (one OPTIONS).")] = None,
    pcap: Annotated[Path | None, typer.Option(help="Write the call's packets to this file, for Wireshark.")] = None,
    pcap_payload: Annotated[
        bool, typer.Option("--pcap-payload", help="Keep what was heard in the file; left out otherwise.")
    ] = False,
    ramp: Annotated[
        bool, typer.Option("--ramp", help="Call with video at rising rates until loss surely begins.")
    ] = False,
    ramp_from: Annotated[
        str | None, typer.Option("--from", help="First rate of --ramp, headers included; 500k by default.")
    ] = None,
    ramp_to: Annotated[
        str | None, typer.Option("--to", help="Last rate of --ramp, 4M by default; the site's caps may end it before.")
    ] = None,
    ramp_step: Annotated[
        str | None, typer.Option("--step", help="From one rate of --ramp to the next; 500k by default.")
    ] = None,
    trace: Annotated[bool, typer.Option("--trace", help="Print the SIP ladder and each message.")] = False,
    tone: Annotated[
        bool, typer.Option("--tone", help="Send an audible 1 kHz tone instead of digital silence.")
    ] = False,
    outside_window: Annotated[
        bool,
        typer.Option("--outside-window", help="Call outside the rehearsal windows; never inside guard or conference."),
    ] = False,
    lang: Language = None,
    state_dir: StateDir = None,
    as_json: Json = False,
) -> int:
    """Call one site by hand and show each step.

    With a configuration, TARGET is a site's code, and the event's windows and caps hold; never more than one call is up
    to a site: a running daemon is asked for the slot, and keeps the result. Without one, a URI can be called with
    `--any-target`, for example an echo room of your own: `bridge-monitor probe sip:echo@192.0.2.7 --any-target`.

    With `--ramp` the calls carry video at rising rates (`--from 500k --to 4M --step 500k`), until loss has begun beyond
    doubt: the table shows what the line carries, and where it ends. The site's caps and windows bound it, and its
    results leave the site's verdict alone, since the load was our choice.

    Ends with 0 good, 1 degraded or busy, 2 failed, 3 untested, invalid, refused, or a usage or configuration error (the
    convention of monitoring plugins); a ramp with 1 where it found loss. Ctrl-C ends the call properly and shows what
    was found so far.
    """
    from bridge_monitor.cli.probe import ProbeWish, run_probe
    from bridge_monitor.cli.ramp import RampWish, run_ramp

    wish = ProbeWish(
        target=target,
        config=config,
        any_target=any_target,
        duration=duration,
        count=count,
        profile=profile,
        kind=kind,
        pcap=pcap,
        pcap_payload=pcap_payload,
        trace=trace,
        tone=tone,
        outside_window=outside_window,
        state_dir=state_dir,
        as_json=as_json,
    )
    rates = RampWish.parse(ramp_from, ramp_to, ramp_step, language(lang), is_wanted=ramp)
    return run_ramp(wish, rates, language(lang)) if rates else run_probe(wish, language(lang))


@app.command("check-config")
def check_config(
    *,
    folder: Annotated[Path, typer.Argument(help="Folder with the configuration.")],
    lang: Language = None,
    as_json: Json = False,
) -> int:
    """Check all files of a configuration: every error at once, or a summary of what will happen.

    Each error names its file and line, and how to mend it; then the command ends with 3. The summary tells the windows
    with their weekdays, sites by tier and carrier, calls and bandwidth at the caps, when the first sweep will be done,
    and who is not registered. Nobody is called.
    """
    from bridge_monitor.cli.check import run_check

    return run_check(folder, language(lang), as_json=as_json)


@sites_app.command("list")
def sites_list(
    *,
    config: Folder,
    province: Annotated[str | None, typer.Option(help="Only sites of this province (code).")] = None,
    tier: Annotated[str | None, typer.Option(help="Only sites of this tier.")] = None,
    carrier: Annotated[str | None, typer.Option(help="Only sites on this carrier's lines.")] = None,
    lang: Language = None,
    as_json: Json = False,
) -> int:
    """List the sites: code, name, tier, province, carrier, and how each takes part."""
    from bridge_monitor.cli.sites import list_sites

    return list_sites(config, language(lang), province=province, tier=tier, carrier=carrier, as_json=as_json)


@sites_app.command("show")
def sites_show(
    *,
    code: Annotated[str, typer.Argument(help="The site's code.")],
    config: Folder,
    lang: Language = None,
    as_json: Json = False,
) -> int:
    """Show one site: its place in the tree, its settings, and who is registered for it."""
    from bridge_monitor.cli.sites import show_site

    return show_site(config, code, language(lang), as_json=as_json)


@app.command()
def simulate(
    *,
    config: Folder,
    faults: Annotated[Path | None, typer.Option(help="Fault plan (YAML); without it every site is healthy.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice; the plan's if left out.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds; else on Ctrl-C.")] = None,
    lang: Language = None,
    as_json: Json = False,
) -> int:
    """Answer for every site of an inventory, on its own loopback address, with planted faults.

    Endpoints must lie in 127.0.0.0/8, as those of `configs/minimal` and `configs/vn-2024` do. What can be planted is
    explained in `configs/faults/every-fault.yaml`; what a test call has to find of it in `docs/outcomes.md`.

    Ends with 3 if the simulator itself dropped packets or was late: such a run is void.
    """
    from bridge_monitor.cli.simulate import run_simulation

    return run_simulation(config, faults, seed, duration, language(lang), as_json=as_json)


@app.command()
def responder(
    *,
    listen: Annotated[
        str | None, typer.Option(help="Address of this machine and SIP port; what most others see, and 5060.")
    ] = None,
    media_ports: Annotated[
        str | None, typer.Option(help="UDP ports for media, as in 40000-40099: two a call and one. Else any free ones.")
    ] = None,
    calls: Annotated[int, typer.Option(min=1, max=1000, help="Calls at once; the next finds it busy.")] = 20,
    allow: Annotated[
        list[str] | None, typer.Option(help="Only this network may call, as in 203.0.113.0/24; repeatable.")
    ] = None,
    advertise: Annotated[
        str | None, typer.Option(help="The address callers use, where a translator stands before this machine.")
    ] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds; else on Ctrl-C.")] = None,
    lang: Language = None,
) -> int:
    """Answer test calls and send back what is heard: an echo room for a host beyond your uplink, or for a province.

    Takes every call at once with G.711, reflects its RTP and reports by RTCP. It sends to nobody who did not call, and
    ends a call whose packets stay away. Its URI is `sip:echo@ADDRESS`; put it into `reference:` of
    `bridge_monitor.yaml`, and results are invalid, not bad, while your own uplink is (`docs/responder.md`).

    Ends with 0 on Ctrl-C and SIGTERM; with 3 if an address can't be had or its media process ended.
    """
    from bridge_monitor.cli.responder import ResponderWish, run_responder

    wish = ResponderWish(
        listen=listen,
        media_ports=media_ports,
        calls=calls,
        allow=tuple(allow or ()),
        advertise=advertise,
        duration=duration,
    )
    return run_responder(wish, language(lang))


@app.command()
def demo(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Inventory; configs/vn-2024 if left out.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="Fault plan; configs/faults/demo.yaml if left out.")] = None,
    sites: Annotated[int | None, typer.Option(min=1, help="Only so many rooms, spread over the country.")] = None,
    duration: Annotated[float | None, typer.Option(min=1.0, help="End after so many seconds; else on Ctrl-C.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random choice; the plan's if left out.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of /metrics; 0 picks a free one.")] = 9810,
    lang: Language = None,
) -> int:
    """Show everything on this machine: a simulated nation with faults, the daemon, and what it finds.

    The event's dates are shifted so that now lies in its rehearsal window, and the caps are raised so that the first
    sweep is done within three minutes. Nobody outside this machine is called.
    """
    from bridge_monitor.cli.demo import DemoWish, run_demo

    return run_demo(DemoWish(config, faults, sites, duration, seed, port), language(lang))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; usage errors and our own bugs are 3, since 2 means "failed"."""
    configure_log()
    try:
        code = app(arguments, prog_name=_NAME, standalone_mode=False)
    except TyperException as error:
        rich_utils.rich_format_error(error)  # type: ignore[arg-type]
        return EXIT_UNKNOWN
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_UNKNOWN
    except Exception:  # noqa: BLE001 - Python would end with 1, which means "degraded"
        traceback.print_exc()
        messages().print(text("our_bug", language(None)), style="bold red")
        return EXIT_UNKNOWN
    # 130 is Typer's for Ctrl-C; nothing was found out then.
    return EXIT_UNKNOWN if code == _INTERRUPTED else int(code or 0)


def entry() -> NoReturn:
    """Run as a program."""
    sys.exit(main())
