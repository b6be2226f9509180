"""``python -m tests.simulators.generic --port 8091``"""

from __future__ import annotations

import argparse
import signal
import sys

from .app import Simulator
from .store import Config


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators.generic", description="A simulated service."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--key", action="append", help="accepted API key; may be repeated")
    parser.add_argument("--secret", default="demo-secret", help="signs the notifications")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn")
    options = parser.parse_args(argv)
    config = Config(
        keys=tuple(options.key or ("demo-key",)), secret=options.secret, seed=options.seed
    )
    simulator = Simulator(config)
    try:
        server = simulator.listen(options.host, options.port)
    except (OSError, SystemExit):
        print(
            f"Port {options.port} of {options.host} is taken: choose another with --port.",
            file=sys.stderr,
        )
        return 1
    print(f"The service answers at http://{options.host}:{server.port}/", flush=True)

    def leave(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        simulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
