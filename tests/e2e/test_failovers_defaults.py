"""Every kind of failover once, at the exporter's own defaults, while somebody scrapes all the time:
a failover of a few seconds lies between two polls, and the polls of a frozen node last long."""

import pytest
from test_failovers import (
    ACTS,
    ORDER,
    Rhythm,
    check_failover,
    check_lost_quorum,
    counting_cluster,
    figures_of,
    freezing_cluster,
    stage_of,
)
from watch import gauges_of_the_leader

DEFAULTS = Rhythm(interval_s=15, timeout_s=8, scrape_pause_s=0.25, hold_s=16)


@pytest.fixture(scope="module")
def figures(request):
    with figures_of(DEFAULTS, request.config) as table:
        yield table


@pytest.fixture(scope="module")
def counting(tmp_path_factory, figures):
    with counting_cluster(tmp_path_factory.mktemp("counting")) as own:
        gauges = gauges_of_the_leader(own)
        with stage_of(tmp_path_factory.mktemp("exporter"), DEFAULTS, own, gauges, figures) as stage:
            yield stage


@pytest.fixture(scope="module")
def freezing(tmp_path_factory, figures, counting):
    with freezing_cluster(tmp_path_factory.mktemp("freezing")) as own:
        folder = tmp_path_factory.mktemp("exporter")
        with stage_of(folder, DEFAULTS, own, counting.leader_gauges, figures) as stage:
            yield stage


@pytest.mark.parametrize("act", ORDER)
def test_the_defaults_tell_each_failover_in_time_and_count_it_once(counting, freezing, act):
    if act == "lost quorum":
        check_lost_quorum(counting, with_the_active=True)
    else:
        check_failover(freezing if act == "freeze" else counting, ACTS[act])
