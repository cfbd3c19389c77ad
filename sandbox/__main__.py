"""`python -m sandbox up|run|mint|connect`: the sandbox for a person or a script."""

import argparse
import io
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m sandbox", description="The outside world of Birthcert on loopback.")
    commands = top.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "start everything and keep it until Ctrl-C"),
        ("run", "start everything, tell a story, stop"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="folder of function_app.py")
        if name == "run":
            which = "life: one device from birth to end (default); factory: 500 devices, by batch and other ways"
            command.add_argument("story", nargs="?", choices=("life", "factory"), default="life", help=which)
    commands.add_parser("mint", help="make a factory certificate and its key", add_help=False)
    text = "try a certificate at DPS and at the hub that DPS assigns; one line of JSON, status 0 if both let it in"
    connect = commands.add_parser("connect", help=text, description=text)
    connect.add_argument("--cert", type=Path, required=True, metavar="FILE", help="PEM: the leaf, then its chain")
    connect.add_argument("--key", type=Path, required=True, metavar="FILE", help="PEM: the leaf's private key")
    connect.add_argument("--hub", default="", metavar="NAME", help="hub-a, hub-b or HOST:PORT: do not ask DPS")
    return top


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without arrows is no reason to fail
    arguments, rest = parser().parse_known_args()
    if rest and arguments.command != "mint":
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    match arguments.command:
        case "mint":
            from sandbox import mint

            return mint.main(rest)
        case "connect":
            from sandbox import connect
            from sandbox.device import DeviceError

            try:
                return connect.main(arguments.cert, arguments.key, arguments.hub)
            except DeviceError as error:
                return failed(str(error))
        case "run":
            from sandbox import factory, story, telling

            return telling.main(arguments.app, factory.tell if arguments.story == "factory" else story.tell)
        case _:
            from sandbox import up

            return up.main(arguments.app)


def failed(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # Ctrl-C before the command listens for it
        sys.exit(130)
