from . import (
    test_access,
    test_backend,
    test_engine,
    test_incidents,
    test_intent,
    test_intent_faults,
    test_mapping,
    test_reconciliation,
    test_review,
    test_tours,
    test_webhook,
)
