"""`./run chaos orders` in small, and every life that once went wrong."""

from pathlib import Path

import pytest

from tests.simulators.shopify.client import ShopSimulator

from .lives import draw_lives, read
from .orders import WORKERS, Run

LIVES, SEED = 50, 1
#: Steps of lives that once ended in wrong books, as `./run chaos orders` writes them.
KEPT = Path(__file__).parent / "kept"


@pytest.mark.long
def test_the_books_of_all_lives_are_equal(odoo_server, shop_simulator):
    lives = list(draw_lives(SEED, LIVES))
    kept = enumerate(sorted(KEPT.glob("*.jsonl")), LIVES)
    lives += [read(file.read_text(), number) for number, file in kept]
    run = Run(odoo_server(workers=WORKERS), ShopSimulator(shop_simulator().url), lives, print)
    result = run.execute(600)
    assert result.strays == []
    assert result.unequal == {}
    assert result.settled and result.lives == len(lives)
