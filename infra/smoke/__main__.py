"""The command itself: the parts in their order, a row for each check, and 0, 1 or 2 at the end."""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from os import environ  # noqa: TID251 - this command is a composition root of its own, as wiring is the app's

from infra.smoke import answers, credentials, front, handshakes, life, probes, upstream
from infra.smoke.arguments import Options, parse
from infra.smoke.checks import Finding
from infra.smoke.credentials import Credentials, Unusable
from infra.smoke.report import Report
from infra.smoke.site import Ops, Site
from infra.smoke.trial import Living, Trial
from infra.smoke.upstream import Platform


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - as above, and wiring would bring every SDK with it


def main() -> int:
    options = parse(sys.argv[1:], environ)
    try:
        given = credentials.read(options, environ)
        platform = upstream.platform(options, given)
        report = Report(lambda line: print(line, flush=True))
        print(f"smoke test of https://{options.server}, label {options.label or '(default)'}")
        _run(options, given, platform, report)
    except Unusable as error:
        print(f"python -m infra.smoke: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; a test device that was born is decommissioned", file=sys.stderr)
        return 1
    report.end()
    if options.report is not None:
        options.report.write_text(report.as_json(str(options.server), options.label, now()), encoding="utf-8")
    return 0 if report.holds else 1


def _run(options: Options, given: Credentials, platform: Platform | None, report: Report) -> None:
    site = Site(options.server, options.label)
    ops = Ops(options.server, given.function_key) if given.function_key else None
    parts: dict[str, Generator[Finding]] = {
        "TLS": handshakes.checks(site, options.http_port),
        "client certificates at the front end": front.checks(site, options.header, now()),
        "requests": probes.checks(site, now()),
        "answers": answers.checks(site, ops),
    }
    if platform is not None:
        parts["DigiCert ONE"] = upstream.checks(platform)
    if options.enroll and ops is not None:
        trial = Trial(site, ops, options, given)

        def meanwhile(living: Living) -> Iterator[Finding]:
            return upstream.issued(platform, living) if platform is not None else iter(())

        parts["a device's life"] = life.checks(trial, meanwhile)
    if ops is not None:
        parts["what is left"] = answers.afterwards(ops)
    for part, findings in parts.items():
        report.begin(part)
        with closing(findings):
            for found in findings:
                report.add(part, found)


if __name__ == "__main__":
    sys.exit(main())
