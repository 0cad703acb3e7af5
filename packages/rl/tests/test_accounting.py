import pytest

from burnish.rl.accounting import Accounting

pytestmark = pytest.mark.fast


def test_close_when_all_is_accounted_for_reports_every_part():
    ledger = Accounting(submitted=10, trained=4, failed=1, stale=1, in_flight=1)
    ledger.leave_out("uniform_reward", 3)
    assert ledger.close() == {
        "accounting/submitted": 10,
        "accounting/trained": 4,
        "accounting/filtered": 3,
        "accounting/stale": 1,
        "accounting/failed": 1,
        "accounting/in_flight": 1,
        "accounting/filtered_uniform_reward": 3,
    }


def test_twin_a_lost_completion_breaks_the_identity():
    with pytest.raises(AssertionError, match="10 submitted, 9 accounted for"):
        Accounting(submitted=10, trained=9).close()
