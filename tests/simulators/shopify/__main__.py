"""``python -m tests.simulators.shopify --port 8090``"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from .app import Simulator
from .recorder import Recorder
from .schema import is_full
from .shop import Config


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators.shopify", description="A simulated Shopify shop."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--shop", default="demo-shop", help="name in <shop>.myshopify.com")
    parser.add_argument("--name", default="Demo Shop")
    parser.add_argument("--currency", default="EUR")
    parser.add_argument("--timezone", default="America/New_York")
    parser.add_argument("--country", default="DE")
    parser.add_argument("--client-id", default="demo-client-id")
    parser.add_argument("--client-secret", default="demo-client-secret")
    parser.add_argument(
        "--legacy-token", action="append", help="accepted as it is; may be repeated"
    )
    parser.add_argument(
        "--search-delay", type=float, default=0.2, help="seconds the search lags behind"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    parser.add_argument("--empty", action="store_true", help="start without the demo catalogue")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keep the shop in it, and go on with it"
    )
    options = parser.parse_args(argv)
    config = Config(
        shop=options.shop,
        name=options.name,
        currency=options.currency,
        timezone=options.timezone,
        country=options.country,
        client_id=options.client_id,
        client_secret=options.client_secret,
        legacy_tokens=tuple(options.legacy_token or ("shpat_demo",)),
        search_delay=options.search_delay,
        seed=options.seed,
    )
    try:
        simulator = Simulator(config, seed=not options.empty, state=options.state)
    except OSError as error:
        print(
            f"{options.state} cannot keep the state of the shop ({error.strerror}): choose another "
            "file with --state.",
            file=sys.stderr,
        )
        return 1
    simulator.recorder = Recorder.from_environment()
    try:
        server = simulator.listen(options.host, options.port)
    except (OSError, SystemExit):
        print(
            f"Port {options.port} of {options.host} is taken: choose another with --port.",
            file=sys.stderr,
        )
        return 1
    which = "full" if is_full(config.versions[-1]) else "trimmed"
    print(
        f"{config.domain} is open at http://{options.host}:{server.port}/ ({which} schema)",
        flush=True,
    )

    def leave(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        # Impatience must not cost what is being written.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        closed = _close(simulator)
    return closed


def _close(simulator: Simulator) -> int:
    try:
        simulator.close()
    except OSError as error:
        print(f"The last changes of the shop are lost: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
